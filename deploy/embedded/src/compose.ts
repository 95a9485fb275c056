import { spawnSync } from 'node:child_process'
import { delimiter, resolve } from 'node:path'
import { writeComposeSecrets } from './compose-secrets.ts'
import { readDotEnv, writeDotEnv } from './dot-env.ts'
import { areImagesCurrent, digestSources, rememberImages } from './image-sources.ts'
import { SERVICE_NAMES, SERVICES, type ServiceName } from './services.ts'
import type { StackPaths } from './stack-paths.ts'
import { StackProblem } from './stack-problem.ts'
import { probe } from './stack-programs.ts'
import type { StackSettings } from './stack-settings.ts'
import { readState, writeJson } from './stack-state.ts'

/** How long containers may take to be healthy. */
const WAIT_SECONDS = 300
/** What the services wait for the end of. */
const JOB = 'migrate'
/** The last lines of each container that did not come up. */
const TOLD_LINES = 15
/** From the root of the checkout. */
const COMPOSE_FILE = 'compose/compose.yaml'

/**
 * Builds images whose sources have changed (unless told not to), starts the containers and waits until they are healthy; servers that were given by
 * URL are not started.
 */
export async function composeUp(
  paths: StackPaths,
  settings: StackSettings,
  services: ServiceName[],
  say: (sentence: string) => void,
  { build = true }: { build?: boolean } = {},
): Promise<void> {
  const env = composeEnvironment(paths, settings)
  const builds = build && !(isOwnFile(paths, env) && areImagesCurrent(paths, env))
  say(
    builds
      ? 'Starting Baton in containers, after its images are built (the first time takes minutes) …'
      : 'Starting Baton in containers, from the images that are there …',
  )
  requireDocker() // before anything is written down: what never began is not make down's to end
  const sources = builds ? digestSources(paths, env) : ''
  writeComposeSecrets(paths, settings)
  // Plain `docker compose …` at the root of the checkout then means this stack.
  if (!readDotEnv(paths.dotEnv)['COMPOSE_FILE']) writeDotEnv(paths.dotEnv, { COMPOSE_FILE })
  const given = [...(settings.ownPostgres ? [] : ['--scale', 'postgres=0']), ...(settings.ownRedis ? [] : ['--scale', 'redis=0'])]
  const waiting = ['--wait', '--wait-timeout', String(WAIT_SECONDS)]
  const args = ['up', '--detach', ...(builds ? ['--build'] : []), ...waiting, '--remove-orphans', ...given, ...services]
  writeJson(paths.state, { mode: 'docker', fingerprint: '', host: '127.0.0.1', portOffset: settings.portOffset, programs: [] })
  if (compose(paths, args, env) !== 0) {
    const unwell = readContainers(paths).flatMap(({ name, well }) => (well ? [] : [name]))
    if (unwell.length > 0) compose(paths, ['logs', '--tail', String(TOLD_LINES), ...new Set(unwell)], env)
    throw new StackProblem(
      'The containers did not come up healthy (see above). make logs shows what they said; BATON_MODE=local make up does without containers.',
    )
  }
  if (builds && services.length === 0 && isOwnFile(paths, env)) rememberImages(paths, env, sources)
}

/** Overlays may build other images, or none. */
function isOwnFile(paths: StackPaths, env: NodeJS.ProcessEnv): boolean {
  return [undefined, '', COMPOSE_FILE].includes(env['COMPOSE_FILE'] || readDotEnv(paths.dotEnv)['COMPOSE_FILE'])
}

function requireDocker(): void {
  const { error } = spawnSync('docker', ['compose', 'version'], { stdio: 'ignore' })
  if (error) throw explainDocker(error)
}

/** What compose.yaml takes from the environment; secrets are not among it. */
export function composeEnvironment(paths: StackPaths, settings: StackSettings): NodeJS.ProcessEnv {
  const file = readDotEnv(paths.dotEnv)
  return {
    ...process.env,
    ...settings.values,
    BATON_HTTP_ALLOW: process.env['BATON_HTTP_ALLOW'] ?? file['BATON_HTTP_ALLOW'] ?? '', // loopback is a default of the embedded stack alone
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
  const containers = readContainers(paths)
  for (const { name, state, health, ports } of [{ name: 'service', state: 'state', health: 'health', ports: 'ports' }, ...containers])
    console.log(`${name.padEnd(18)}${state.padEnd(12)}${health.padEnd(12)}${ports}`.trimEnd())
  const healthy = new Set(containers.flatMap(({ name, health }) => (health === 'healthy' ? [name] : [])))
  const offset = readState(paths)?.portOffset ?? 0
  const published = await Promise.all(
    (['orchestrator', 'fanout'] as const).map((service) => probe('127.0.0.1', SERVICES[service] + offset, '/health')),
  )
  const well = SERVICE_NAMES.every((service) => healthy.has(service)) && published.every(({ status }) => status === 200)
  if (!well) console.log('Not every service is healthy: make logs S=<service> shows why.')
  return well ? 0 : 1
}

type Container = { name: string; state: string; health: string; ports: string; well: boolean }

/** One for each replica, also those that have ended; `well` = healthy, or running without a health check, or ended as it should. */
function readContainers(paths: StackPaths): Container[] {
  const format = '{{.Service}}|{{.State}}|{{.Health}}|{{.Ports}}|{{.ExitCode}}'
  const args = ['compose', '--profile', '*', 'ps', '--all', '--format', format]
  const { stdout } = spawnSync('docker', args, { env: withFiles(paths, process.env), cwd: paths.root, encoding: 'utf8' })
  return stdout.split('\n').flatMap((line) => {
    const [name, state = '', health = '', ports = '', code] = line.split('|')
    if (!name) return []
    const runs = state === 'running' && health === '' && name !== JOB
    return [{ name, state, health, ports, well: runs || health === 'healthy' || (state === 'exited' && code === '0') }]
  })
}

/** Whether the stack of this checkout is the one in containers. */
export function runsInContainers(paths: StackPaths): boolean {
  return readState(paths)?.mode === 'docker' || process.env['BATON_MODE'] === 'docker'
}

/** A command of compose, for those who want its input or output for themselves. */
export function composeCommand(paths: StackPaths, args: string[]): { command: string; args: string[]; env: NodeJS.ProcessEnv } {
  return { command: 'docker', args: ['compose', ...args], env: withFiles(paths, process.env) }
}

/** Runs a command of compose in this terminal and gives its exit code; throws StackProblem when there is no docker. */
export function compose(paths: StackPaths, args: string[], env: NodeJS.ProcessEnv = process.env): number {
  const { status, error } = spawnSync('docker', ['compose', ...args], { stdio: 'inherit', env: withFiles(paths, env), cwd: paths.root })
  if (error) throw explainDocker(error)
  return status ?? 1
}

function explainDocker(error: Error): StackProblem {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT')
    return new StackProblem('There is no docker on PATH: install it, or start the stack as processes with BATON_MODE=local make up.')
  return new StackProblem(`docker cannot be run: ${error.message}`, { cause: error })
}

/** The files are named by COMPOSE_FILE, of the environment or of .env, so that overrides count for make too. */
function withFiles(paths: StackPaths, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const files = env['COMPOSE_FILE'] || readDotEnv(paths.dotEnv)['COMPOSE_FILE'] || COMPOSE_FILE
  const places = files.split(delimiter).map((file) => resolve(paths.root, file))
  return { ...env, COMPOSE_FILE: places.join(delimiter) }
}
