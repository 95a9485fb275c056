/** Commands inside the containers of the stack, and on some of them. */
import { spawnSync } from 'node:child_process'
import { compose, composeCommand } from './compose.ts'
import type { DumpPlace } from './dump-database.ts'
import { runProgram } from './dump-database.ts'
import { SERVICE_NAMES, type ServiceName } from './services.ts'
import type { StackPaths } from './stack-paths.ts'
import { StackProblem } from './stack-problem.ts'

/** The user and the database of the stack's own PostgreSQL in its container. */
const DATABASE = 'baton'

/** The PostgreSQL of the stack, by the programs in its container. */
export function placeOfContainer(paths: StackPaths): DumpPlace {
  return {
    run: (program, args, files) => {
      const { command, args: before, env } = composeCommand(paths, ['exec', '--no-TTY', 'postgres', program])
      return runProgram(command, [...before, ...args], env, files)
    },
    connect: (database) => [`--username=${DATABASE}`, `--dbname=${database}`],
    database: DATABASE,
  }
}

/** Stops or starts the services, whatever their number; PostgreSQL and Redis stay as they are. */
export function composeServices(
  paths: StackPaths,
  action: 'stop' | 'start' | 'restart',
  services: readonly ServiceName[] = SERVICE_NAMES,
): void {
  if (compose(paths, [action, ...services]) !== 0) throw new StackProblem(`docker compose ${action} did not succeed (see above).`)
}

/** redis-cli in the container, with the password that is a file there. */
export const REDIS_CLI = ['sh', '-c', 'REDISCLI_AUTH="$(cat /run/secrets/redis_password)" exec redis-cli "$@"', 'redis-cli']

/** Empties the Redis of the stack. */
export function flushContainerRedis(paths: StackPaths): void {
  if (compose(paths, ['exec', '--no-TTY', 'redis', ...REDIS_CLI, 'flushall']) !== 0)
    throw new StackProblem('Redis could not be emptied (see above).')
}

/** A program in a container with this terminal, for psql and redis-cli; gives its exit code. */
export function composeInteractive(paths: StackPaths, service: 'postgres' | 'redis', program: string[]): number {
  const { command, args, env } = composeCommand(paths, ['exec', ...(process.stdin.isTTY ? [] : ['--no-TTY']), service, ...program])
  return spawnSync(command, args, { env, stdio: 'inherit' }).status ?? 1
}
