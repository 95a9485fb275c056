/** A PostgreSQL and a Redis of the benchmark's own, and as many fanouts on them as are asked for; each is a process, as in the stack. */
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { findFreePort } from '@baton/embedded'
import { until } from '@baton/testing'
import { type Stops, startDatabase, startProgram, startRedis } from '../peers/start-peer.ts'

const SERVICES = resolve(import.meta.dirname, '../../../services')
const READY_MS = 30_000
/** The key of every client, which no other process ever sees. */
export const ADMIN_KEY = 'admin-key-of-the-benchmark'

/** A fanout that runs. */
export interface Replica {
  pid: number
  port: number
  /** SIGKILL. */
  kill(): void
}

/** Stores that started empty, with the schema in place. */
export interface LiveStack {
  databaseUrl: string
  redisUrl: string
  startReplica(settings?: Record<string, string>): Promise<Replica>
  /** Ends all and removes the data. */
  stop(): Promise<void>
}

/** Starts the stores below `folder`. */
export async function startLiveStack(folder: string): Promise<LiveStack> {
  const folders = { data: join(folder, 'data'), logs: join(folder, 'logs') }
  for (const each of Object.values(folders)) mkdirSync(each, { recursive: true })
  const stops: Stops = []
  const stop = async () => {
    for (const each of stops.splice(0).reverse()) await each()
  }
  const stores: { databaseUrl?: string; redisUrl?: string } = {}
  try {
    await startDatabase(stores, folders, stops)
    await startRedis(stores, folders, stops)
    const { databaseUrl = '', redisUrl = '' } = stores
    migrate(databaseUrl)
    return { databaseUrl, redisUrl, stop, startReplica: (settings) => startReplica({ databaseUrl, redisUrl }, folders, stops, settings) }
  } catch (error) {
    await stop()
    throw error
  }
}

function migrate(databaseUrl: string): void {
  const program = join(SERVICES, 'orchestrator/src/migrate.ts')
  const env = { ...process.env, DATABASE_URL: databaseUrl, LOG_LEVEL: 'warn' }
  const { status, stderr, stdout } = spawnSync(process.execPath, ['--conditions=@baton/source', program], { env, encoding: 'utf8' })
  if (status !== 0) throw new Error(`the database of the benchmark could not be migrated: ${stderr}${stdout}`)
}

async function startReplica(
  stores: { databaseUrl: string; redisUrl: string },
  { data, logs }: { data: string; logs: string },
  stops: Stops,
  settings: Record<string, string> = {},
): Promise<Replica> {
  const port = await findFreePort()
  const dir = join(data, `fanout-${port}`)
  mkdirSync(dir, { recursive: true })
  const env = {
    ...{ DATABASE_URL: stores.databaseUrl, REDIS_URL: stores.redisUrl, BATON_ADMIN_KEY: ADMIN_KEY },
    ...{ HOST: '127.0.0.1', PORT: String(port), LOG_LEVEL: 'warn', ...settings },
  }
  const args = [
    '--conditions=@baton/source',
    '--no-warnings',
    ...(process.env.PROF ? ['--cpu-prof', '--cpu-prof-dir=/tmp/prof-live'] : []),
    join(SERVICES, 'fanout/src/main.ts'),
  ]
  const pid = await startProgram('fanout', { command: process.execPath, args, env, dir }, logs, stops)
  const ready = async () => (await fetch(`http://127.0.0.1:${port}/ready`)).ok
  await until(ready, { timeoutMs: READY_MS, what: `fanout to be ready; see ${join(logs, 'fanout.log')}` })
  return { pid, port, kill: () => void process.kill(pid, 'SIGKILL') }
}
