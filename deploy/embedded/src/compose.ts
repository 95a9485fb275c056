import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { readDotEnv } from './dot-env.ts'
import { SERVICE_NAMES, SERVICES, type ServiceName } from './services.ts'
import type { StackPaths } from './stack-paths.ts'
import { StackProblem } from './stack-problem.ts'
import { probe } from './stack-programs.ts'
import type { StackSettings } from './stack-settings.ts'
import { readState, writeJson } from './stack-state.ts'

/** How long containers may take to be healthy. */
const WAIT_SECONDS = 300

/** Builds (unless told not to) and starts the containers and waits until they are healthy; servers that were given by URL are not started. */
export async function composeUp(
  paths: StackPaths,
  settings: StackSettings,
  services: ServiceName[],
  say: (sentence: string) => void,
  { build = true }: { build?: boolean } = {},
): Promise<void> {
  say(
    build
      ? 'Starting Baton in containers; the first time builds its images …'
      : 'Starting Baton in containers, from the images that are there …',
  )
  const env = composeEnvironment(paths, settings)
  const given = [...(settings.ownPostgres ? [] : ['--scale', 'postgres=0']), ...(settings.ownRedis ? [] : ['--scale', 'redis=0'])]
  const replicas = SERVICE_NAMES.flatMap((service) =>
    settings.replicas[service] === 1 ? [] : ['--scale', `${service}=${settings.replicas[service]}`],
  )
  const args = [
    'up',
    '--detach',
    ...(build ? ['--build'] : []),
    '--wait',
    '--wait-timeout',
    String(WAIT_SECONDS),
    '--remove-orphans',
    ...given,
    ...replicas,
    ...services,
  ]
  writeJson(paths.state, { mode: 'docker', fingerprint: '', host: '127.0.0.1', portOffset: settings.portOffset, programs: [] })
  if (compose(paths, args, env) !== 0)
    throw new StackProblem(
      'The containers did not come up healthy (see above). make logs shows what they said; BATON_MODE=local make up does without containers.',
    )
}

/** What compose.yaml takes from the environment. Servers given by URL are passed on; those of the stack have the passwords of .env. */
export function composeEnvironment(paths: StackPaths, settings: StackSettings): Record<string, string> {
  const { values, databaseUrl, redisUrl, ownPostgres, ownRedis } = settings
  const password = (url: string) => decodeURIComponent(new URL(url).password)
  return {
    ...values,
    BATON_HTTP_ALLOW: process.env['BATON_HTTP_ALLOW'] ?? readDotEnv(paths.dotEnv)['BATON_HTTP_ALLOW'] ?? '', // loopback is a default of the embedded stack alone
    BATON_COMPOSE_DATABASE_URL: ownPostgres ? `postgres://baton:${password(databaseUrl)}@postgres:5432/baton` : databaseUrl,
    BATON_COMPOSE_REDIS_URL: ownRedis ? `redis://:${password(redisUrl)}@redis:6379/0` : redisUrl,
    BATON_POSTGRES_PASSWORD: ownPostgres ? password(databaseUrl) : 'unused',
    BATON_REDIS_PASSWORD: ownRedis ? password(redisUrl) : 'unused',
    BATON_PORT_ORCHESTRATOR: String(SERVICES.orchestrator + settings.portOffset),
    BATON_PORT_FANOUT: String(SERVICES.fanout + settings.portOffset),
  }
}

/**
 * Starts the shop of the examples beside the services and lets the http-worker call it, and no other private address, until the next make up.
 * Resolves with the URL under which the services reach it.
 */
export function composeShop(paths: StackPaths, settings: StackSettings): string {
  const env = composeEnvironment(paths, settings)
  const allowed = [env['BATON_HTTP_ALLOW'], 'shop'].filter(Boolean).join(',')
  const args = ['--profile', 'demo', 'up', '--detach', '--build', '--wait', '--no-deps', '--quiet-pull', 'shop', 'http-worker']
  if (compose(paths, args, { ...env, BATON_HTTP_ALLOW: allowed }) !== 0)
    throw new StackProblem('The shop of the demo did not come up (see above).')
  return 'http://shop:8090'
}

/** Stops and removes the containers; with `volumes` their data too. */
export function composeDown(paths: StackPaths, { volumes }: { volumes: boolean }): void {
  const status = compose(paths, ['--profile', '*', 'down', '--remove-orphans', ...(volumes ? ['--volumes'] : [])])
  if (status !== 0) throw new StackProblem('The containers could not be stopped (see above). Does the Docker engine answer?')
}

/** Follows the containers' logs. Resolves with compose's exit code. */
export function composeLogs(paths: StackPaths, only: string | undefined): number {
  return compose(paths, ['logs', '--follow', '--tail', '20', ...(only ? [only] : [])])
}

/** Prints the containers with their health, and the published probes; 1 when one is not well. */
export async function composeHealth(paths: StackPaths): Promise<number> {
  const format = '{{.Service}}|{{.State}}|{{.Health}}|{{.Ports}}'
  const args = [...baseArgs(paths), '--profile', '*', 'ps', '--all', '--format', format]
  const { stdout } = spawnSync('docker', args, { env: neutralEnvironment(), encoding: 'utf8' })
  const rows = stdout.split('\n').flatMap((line) => (line ? [line.split('|')] : []))
  for (const [name = '', state = '', health = '', ports = ''] of [['service', 'state', 'health', 'ports'], ...rows])
    console.log(`${name.padEnd(18)}${state.padEnd(12)}${health.padEnd(12)}${ports}`.trimEnd())
  const healthy = new Set(rows.flatMap(([name, , health]) => (name && health === 'healthy' ? [name] : [])))
  const offset = readState(paths)?.portOffset ?? 0
  const published = await Promise.all(
    (['orchestrator', 'fanout'] as const).map((service) => probe('127.0.0.1', SERVICES[service] + offset, '/health')),
  )
  const well = SERVICE_NAMES.every((service) => healthy.has(service)) && published.every(({ status }) => status === 200)
  if (!well) console.log('Not every service is healthy: make logs S=<service> shows why.')
  return well ? 0 : 1
}

function baseArgs(paths: StackPaths): string[] {
  return ['compose', '--file', join(paths.root, 'compose', 'compose.yaml')]
}

/** compose reads the whole file for every command, so its variables need some value even to stop. */
function neutralEnvironment(): NodeJS.ProcessEnv {
  const names = ['BATON_POSTGRES_PASSWORD', 'BATON_REDIS_PASSWORD', 'BATON_ADMIN_KEY', 'BATON_MASTER_KEY']
  return { ...Object.fromEntries(names.map((name) => [name, 'unused'])), ...process.env }
}

/** Whether the stack of this checkout is the one in containers. */
export function runsInContainers(paths: StackPaths): boolean {
  return readState(paths)?.mode === 'docker' || process.env['BATON_MODE'] === 'docker'
}

/** A command of compose, for those who want its input or output for themselves. */
export function composeCommand(paths: StackPaths, args: string[]): { command: string; args: string[]; env: NodeJS.ProcessEnv } {
  return { command: 'docker', args: [...baseArgs(paths), ...args], env: neutralEnvironment() }
}

/** Runs a command of compose in this terminal and gives its exit code; throws StackProblem when there is no docker. */
export function compose(paths: StackPaths, args: string[], env: NodeJS.ProcessEnv = neutralEnvironment()): number {
  const { status, error } = spawnSync('docker', [...baseArgs(paths), ...args], { stdio: 'inherit', env, cwd: paths.root })
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT')
    throw new StackProblem('There is no docker on PATH: install it, or start the stack as processes with BATON_MODE=local make up.')
  if (error) throw new StackProblem(`docker cannot be run: ${error.message}`, { cause: error })
  return status ?? 1
}
