import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findFreePort, findRedisServer } from '@baton/embedded'
import { Redis } from 'ioredis'
import { endProcess, guardProcess } from './guard-process.ts'
import { type SmallDisk, smallDisk } from './small-disk.ts'
import type { Teardown } from './test-database.ts'

/** A Redis that writes down what it holds as the embedded stack's does (AOF, each second); for tests that take it away. */
export interface DurableRedis {
  url: string
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
  /** Starts it again on the same port; `emptied` without anything it held. */
  start(options?: { emptied?: boolean }): Promise<void>
  /** SIGSTOP and SIGCONT: it hangs without being gone. */
  pause(): void
  resume(): void
  flushAll(): Promise<void>
  /** The disk that its AOF lies on, to be filled; or why there is none of its own. */
  disk: SmallDisk | { missing: string }
}

const UNPACKED = join(import.meta.dirname, '../../../.local/redis/programs')
const DISK_BYTES = 256 * 1024 * 1024

/** Starts a redis-server on a free port, with its data on a small disk where this user may make one; it ends with the test. */
export async function durableRedis(t: Teardown): Promise<DurableRedis> {
  const binary = findRedisServer(UNPACKED)
  if (!binary) throw new Error('no redis-server found: put one on PATH or name it in BATON_REDIS_SERVER')
  const directory = mkdtempSync(join(tmpdir(), 'baton-durable-redis-'))
  const dataDir = join(directory, 'data')
  mkdirSync(dataDir)
  const disk = await smallDisk(t, dataDir, DISK_BYTES)
  const port = await findFreePort()
  const url = `redis://127.0.0.1:${port}`
  const configFile = join(directory, 'redis.conf')
  writeFileSync(configFile, configText(dataDir, port))
  const [command, ...before] = 'enter' in disk ? [...disk.enter, binary] : [binary]
  let server = await launch(command!, [...before, configFile])
  let unguard = guardProcess(server.pid!, directory)
  const kill = async () => {
    await endProcess(server, 'SIGKILL')
    unguard()
  }
  t.teardown(async () => {
    await kill()
    rmSync(directory, { recursive: true, force: true })
  })
  return {
    url,
    disk,
    kill,
    async start({ emptied = false } = {}) {
      if (emptied) rmSync(join('outside' in disk ? disk.outside : dataDir, 'appendonlydir'), { recursive: true, force: true })
      server = await launch(command!, [...before, configFile])
      unguard = guardProcess(server.pid!, directory)
    },
    pause: () => void server.kill('SIGSTOP'),
    resume: () => void server.kill('SIGCONT'),
    flushAll: () => flushAll(url),
  }
}

function configText(dataDir: string, port: number): string {
  const lines = ['bind 127.0.0.1', `port ${port}`, `dir "${dataDir}"`, 'daemonize no', 'save ""', 'appendonly yes', 'appendfsync everysec']
  return [...lines, 'aof-load-truncated yes', 'maxmemory-policy noeviction', ''].join('\n')
}

async function launch(command: string, args: string[]): Promise<ChildProcess> {
  const server = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'], detached: true })
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

async function flushAll(url: string): Promise<void> {
  const redis = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: 3 })
  redis.on('error', () => {}) // the command says so too
  try {
    await redis.connect()
    await redis.flushall()
  } finally {
    redis.disconnect()
  }
}
