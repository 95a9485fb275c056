/**
 * The embedded stack: PostgreSQL from npm, redis-server from PATH or apt, and the services as processes under a supervisor.
 *
 * Invariants: a process is only ever signalled together with the time it started, so a recycled pid is never hit; data folders
 * are made beside their place and moved into it; what is started is recorded in .local/pids before anything waits for it.
 */
export { chooseMode } from './choose-mode.ts'
export { findFreePort, isPortFree } from './ports.ts'
export { type PostgresOptions, type RunningPostgres, startPostgres } from './postgres.ts'
export { type ProcessIdentity, recordedProcesses } from './process-identity.ts'
export { bringRedisServer, findRedisServer } from './redis-binary.ts'
export { POSTGRES_PORT, REDIS_PORT, replicasSetting, SERVICES, type ServiceName } from './services.ts'
export { stackPaths } from './stack-paths.ts'
export { StackProblem } from './stack-problem.ts'
export { accountForPostgres } from './unprivileged-account.ts'
