import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findFreePort, findRedisServer } from '@baton/embedded'
import { Redis } from 'ioredis'
import { endProcess, guardProcess } from './guard-process.ts'
import type { Teardown } from './test-database.ts'

/** A Redis of one test. What `restart` finds again depends on `appendonly`; all but `flushAll` need a process of our own. */
export interface TestRedis {
  url: string
  port: number
  /** Ends it in order (SIGTERM) and starts it again on the same port. */
  restart(): Promise<void>
  /** SIGKILL; `restart` brings it back. */
  kill(): Promise<void>
  /** SIGSTOP and SIGCONT: it hangs without being gone. */
  pause(): void
  resume(): void
  flushAll(): Promise<void>
}

/** Where the embedded stack unpacks what apt brought. */
const UNPACKED = join(import.meta.dirname, '../../../.local/redis/programs')

/**
 * Starts a redis-server (BATON_REDIS_SERVER, PATH, or what `.local/redis` holds) on a free port and ends it with the test. Without a binary a
 * database of REDIS_URL is lent, which cannot be restarted.
 */
export async function testRedis(t: Teardown, options: { appendonly?: boolean; port?: number } = {}): Promise<TestRedis> {
  const binary = findRedisServer(UNPACKED)
  if (binary) return startRedis(t, binary, options)
  if (process.env.REDIS_URL) return lendDatabase(t, process.env.REDIS_URL)
  throw new Error('no redis-server found: put one on PATH, name it in BATON_REDIS_SERVER, or give REDIS_URL')
}

async function startRedis(t: Teardown, binary: string, options: { appendonly?: boolean; port?: number }): Promise<TestRedis> {
  const directory = await mkdtemp(join(tmpdir(), 'baton-redis-'))
  let port = options.port ?? (await findFreePort())
  let server: ChildProcess | undefined
  for (let tries = 1; !server; tries++) {
    server = await launch(binary, directory, port, options.appendonly ?? false).catch((error: Error) => {
      if (options.port !== undefined || tries === 5) throw error
      return undefined
    })
    if (!server) port = await findFreePort()
  }
  let unguard = guardProcess(server.pid!, directory)
  const end = async (signal: NodeJS.Signals) => {
    if (server) await endProcess(server, signal)
    unguard()
  }
  const url = `redis://127.0.0.1:${port}`
  t.teardown(async () => {
    await end('SIGKILL')
    await rm(directory, { recursive: true, force: true })
  })
  return {
    url,
    port,
    async restart() {
      await end('SIGTERM')
      server = await launch(binary, directory, port, options.appendonly ?? false)
      unguard = guardProcess(server.pid!, directory)
    },
    kill: () => end('SIGKILL'),
    pause: () => void server?.kill('SIGSTOP'),
    resume: () => void server?.kill('SIGCONT'),
    flushAll: () => command(url, 'FLUSHALL'),
  }
}

async function launch(binary: string, directory: string, port: number, appendonly: boolean): Promise<ChildProcess> {
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', '', '--maxmemory-policy', 'noeviction']
  const server = spawn(binary, [...args, '--appendonly', appendonly ? 'yes' : 'no', '--appendfsync', 'always'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  })
  let log = ''
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.once('exit', () => reject(new Error(`redis-server did not start: ${log}`)))
    server.stdout.on('data', (chunk: Buffer) => {
      log = (log + chunk).slice(-10_000)
      if (/ready to accept connections/i.test(log)) resolve()
    })
  })
  server.stdout.removeAllListeners('data').resume()
  server.unref()
  ;(server.stdout as unknown as { unref(): void }).unref()
  return server
}

async function command(url: string, name: 'FLUSHALL' | 'FLUSHDB'): Promise<void> {
  const redis = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: 3 })
  try {
    await redis.connect()
    await redis.call(name)
  } finally {
    redis.disconnect()
  }
}

/** The first of the databases 1 … 15 that no other test has claimed. */
async function lendDatabase(t: Teardown, server: string): Promise<TestRedis> {
  const claims = new Redis(server)
  t.teardown(() => claims.disconnect())
  for (let number = 1; number <= 15; number++) {
    const claim = `baton:test-database:${number}`
    if ((await claims.set(claim, process.pid, 'EX', 600, 'NX')) === null) continue
    const url = new URL(server)
    url.pathname = `/${number}`
    t.teardown(() => claims.del(claim))
    await command(url.href, 'FLUSHDB')
    const refuse = () => {
      throw new Error('this Redis was lent by REDIS_URL: put a redis-server on PATH for tests that restart it')
    }
    const flushAll = () => command(url.href, 'FLUSHDB')
    return { url: url.href, port: Number(url.port || 6379), restart: refuse, kill: refuse, pause: refuse, resume: refuse, flushAll }
  }
  throw new Error('all 15 databases of REDIS_URL are in use by other tests')
}
