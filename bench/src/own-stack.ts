/** A Baton stack of the benchmark's own: what `make up` starts, with its data and ports apart from the user's. */
import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseEnv } from 'node:util'
import {
  isPortFree,
  POSTGRES_PORT,
  REDIS_PORT,
  recordedProcesses,
  replicasSetting,
  SERVICES,
  type ServiceName,
  stackPaths,
} from '@baton/embedded'
import { type BatonClient, createBatonClient } from './baton-client.ts'
import type { Engine } from './engine.ts'
import { openStores } from './stores.ts'

const CHECKOUT = resolve(import.meta.dirname, '../..')
const STORES = ['postgres', 'redis']
/** What runs the steps, and is killed in W4. The supervisor starts it again. */
const CRASHED = ['workflow-runner', 'http-worker']

/** Below the ports that the system hands out to outgoing connections. */
const OFFSETS = { from: 5_000, to: 23_000 }

/** A stack that was started here. */
export interface OwnStack extends Engine {
  client: BatonClient
  databaseUrl: string
  redisUrl: string
  /** Data that it found or kept are removed as well when `removesData`. */
  stop(how?: { removesData?: boolean }): Promise<void>
}

/** How a stack of the benchmark's own differs from what `make up` starts. */
export interface OwnStackOptions {
  /** Data that are there are used, and stay when it stops. */
  keepsData?: boolean
  /** How many of each service; one of those that are not named. */
  replicas?: Partial<Record<ServiceName, number>>
  /** Settings of services. */
  settings?: Record<string, string>
}

/**
 * Starts a stack below `folder`, with empty stores unless it `keepsData`, whose workflows call the target; stops one that an interrupted run
 * left there.
 */
export async function startOwnStack(folder: string, targetUrl: string, options: OwnStackOptions = {}): Promise<OwnStack> {
  const { keepsData = false, replicas = {}, settings: own = {} } = options
  makeRoot(folder)
  const end = keepsData ? 'down' : 'clean'
  const env = await bringUp(folder, end, replicas, own)
  const command = (name: string) => runCommand(name, env)
  const settings = parseEnv(readFileSync(join(folder, '.env'), 'utf8'))
  const { DATABASE_URL: databaseUrl = '', REDIS_URL: redisUrl = '', BATON_ADMIN_KEY: key = '' } = settings
  const client = createBatonClient(`http://127.0.0.1:${SERVICES.orchestrator + Number(env.BATON_PORT_OFFSET)}`, key)
  const stores = openStores({ databaseUrl, redisUrl })
  const pids = () => [...recordedProcesses(stackPaths(folder).pids)].map(([name, { pid }]) => [name, pid] as const)
  try {
    await client.save(targetUrl)
  } catch (error) {
    await command(end)
    throw error
  }
  return {
    name: 'baton',
    client,
    databaseUrl,
    redisUrl,
    processes: () => ({
      services: new Map(pids().filter(([name]) => !STORES.includes(name))),
      stores: new Map(pids().filter(([name]) => STORES.includes(name))),
    }),
    stored: stores.stored,
    async crash() {
      for (const [name, pid] of pids()) if (CRASHED.includes(name)) process.kill(pid, 'SIGKILL')
    },
    async stop({ removesData = false } = {}) {
      await stores.close()
      await client.close()
      await command(removesData ? 'clean' : end)
    },
  }
}

/** Starts the stack on ports that were free a moment ago; when another program was faster, on others. Gives the environment for its commands. */
async function bringUp(
  folder: string,
  end: 'down' | 'clean',
  replicas: NonNullable<OwnStackOptions['replicas']>,
  own: Record<string, string>,
): Promise<NodeJS.ProcessEnv> {
  const counts = Object.entries(replicas).map(([service, count]) => [replicasSetting(service as ServiceName), String(count)])
  for (let triesLeft = 3; ; triesLeft--) {
    const env = { ...(await environmentFor(folder)), ...Object.fromEntries(counts), ...own }
    await runCommand(end, env)
    try {
      await runCommand('up', env)
      return env
    } catch (error) {
      if (triesLeft === 0 || !/ is in use/.test((error as Error).message)) throw error
    }
  }
}

/** A folder that looks like a checkout to the stack, with `.env` and `.local` of its own. */
function makeRoot(folder: string): void {
  mkdirSync(folder, { recursive: true })
  for (const name of ['services', 'packages']) {
    rmSync(join(folder, name), { force: true })
    symlinkSync(join(CHECKOUT, name), join(folder, name))
  }
}

/** Settings of the user's own stack stay out of it. */
async function environmentFor(folder: string): Promise<NodeJS.ProcessEnv> {
  const foreign = /^(BATON_|DATABASE_URL|REDIS_URL|HOST$|PORT$|[A-Z_]+_REPLICAS$)/
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)))
  const { BATON_REDIS_SERVER } = process.env
  return {
    ...inherited,
    ...(BATON_REDIS_SERVER && { BATON_REDIS_SERVER }),
    BATON_STACK_ROOT: folder,
    BATON_MODE: 'local',
    BATON_PORT_OFFSET: String(await freeOffset()),
    LOG_LEVEL: 'warn',
    CONFIRM: 'yes',
  }
}

/** An offset at which nothing listens on any port of the stack; by chance, so that two that look at the same moment find different ones. */
async function freeOffset(): Promise<number> {
  const ports = [...Object.values(SERVICES), POSTGRES_PORT, REDIS_PORT]
  for (let tries = 0; tries < 100; tries++) {
    const offset = randomInt(OFFSETS.from, OFFSETS.to)
    const free = await Promise.all(ports.map((port) => isPortFree(port + offset)))
    if (free.every(Boolean)) return offset
  }
  throw new Error(`no free ports for a stack were found ${OFFSETS.from} to ${OFFSETS.to} above the usual ones`)
}

async function runCommand(name: string, env: NodeJS.ProcessEnv): Promise<void> {
  const entry = join(CHECKOUT, 'deploy/embedded/src', `${name}.ts`)
  const child = spawn(process.execPath, ['--conditions=@baton/source', entry], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  // Told to stop while it starts something, it stops what it started; whoever interrupts us must leave no stack behind.
  const end = () => void child.kill('SIGTERM')
  process.once('exit', end)
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk))
  const code = await new Promise<number | null>((done) => child.once('close', done))
  process.off('exit', end)
  if (code !== 0) throw new Error(`the benchmark's own stack did not do "${name}": ${said.trim()}`)
}
