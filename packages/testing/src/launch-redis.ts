import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findFreePort, findRedisServer } from '@baton/embedded'
import { Redis } from 'ioredis'
import { endProcess, guardProcess } from './guard-process.ts'
import type { Teardown } from './test-database.ts'
import { until } from './until.ts'

/** One server of several that belong together. */
export interface RedisNode {
  port: number
  url: string
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
  /** Asks it by a connection of its own, as `redis-cli` would. */
  ask(command: string, ...args: (string | number)[]): Promise<unknown>
}

/** Where the embedded stack unpacks what apt brought. */
const UNPACKED = join(import.meta.dirname, '../../../.local/redis/programs')

/** True where servers can be started: where not, tests of several servers say so and are left out. */
export function hasRedisServer(): boolean {
  return findRedisServer(UNPACKED) !== undefined
}

/** A folder for servers that belong together; it goes with the test. */
export function redisFolder(t: Teardown): string {
  const folder = mkdtempSync(join(tmpdir(), 'baton-redis-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Starts a server with these lines of configuration on a free port of 127.0.0.1; it ends with the test. */
export async function launchRedis(
  t: Teardown,
  folder: string,
  linesOf: (port: number) => string[] | Promise<string[]>,
  options: { sentinel?: boolean; login?: string } = {},
): Promise<RedisNode> {
  const binary = findRedisServer(UNPACKED)
  if (!binary) throw new Error('no redis-server found: put one on PATH or name it in BATON_REDIS_SERVER')
  const port = await findFreePort()
  const directory = join(folder, String(port))
  mkdirSync(directory)
  const file = join(directory, 'redis.conf')
  const lines = ['bind 127.0.0.1', `dir "${directory}"`, 'daemonize no', ...(await linesOf(port))]
  writeFileSync(file, `${lines.join('\n')}\n`)
  const server = spawn(binary, [file, ...(options.sentinel ? ['--sentinel'] : [])], { stdio: ['ignore', 'pipe', 'ignore'], detached: true })
  const unguard = guardProcess(server.pid!, directory)
  await untilReady(server)
  const kill = async () => {
    await endProcess(server, 'SIGKILL')
    unguard()
  }
  t.teardown(kill)
  const url = `redis://${options.login ?? ''}127.0.0.1:${port}`
  return { port, url, kill, ask: (command, ...args) => ask(url, command, args) }
}

async function untilReady(server: ChildProcess): Promise<void> {
  let log = ''
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.once('exit', () => reject(new Error(`redis-server did not start: ${log}`)))
    server.stdout!.on('data', (chunk: Buffer) => {
      log = (log + chunk).slice(-10_000)
      if (/ready to accept connections|Sentinel ID is/i.test(log)) resolve()
    })
  })
  server.stdout!.removeAllListeners('data').resume()
  server.unref()
  ;(server.stdout as unknown as { unref(): void }).unref()
}

async function ask(url: string, command: string, args: (string | number)[]): Promise<unknown> {
  const redis = new Redis(url, { lazyConnect: true, enableReadyCheck: false, retryStrategy: () => null })
  redis.on('error', () => {}) // the command says so too
  try {
    await redis.connect()
    return await redis.call(command, ...args.map(String))
  } finally {
    redis.disconnect()
  }
}

/** A field of INFO. */
export function infoField(info: unknown, name: string): string | undefined {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(String(info))?.[1]
}

/** Waits until the replica follows its master and has all that it has. */
export async function untilFollowing(replica: RedisNode): Promise<void> {
  const follows = async () => infoField(await replica.ask('INFO', 'replication'), 'master_link_status') === 'up'
  await until(follows, { timeoutMs: 20_000, what: `the replica on port ${replica.port} to follow its master` })
}
