/** Starts an engine of others with stores of its own, empty and as durable as Baton's. */
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { bringRedisServer, findFreePort, stackPaths, startPostgres } from '@baton/embedded'
import { endProcess, guardProcess } from '@baton/testing'
import { Redis } from 'ioredis'
import type { Client, Engine } from '../engine.ts'
import { openStores } from '../stores.ts'
import { installPeer } from './install-peer.ts'
import { findPeer, type PeerName } from './list-peers.ts'
import type { Peer, Place } from './peer.ts'

const PORTS = 4

/** Folders of the benchmark: what was installed stays there, data are removed when an engine stops. */
export interface Folders {
  packages: string
  data: string
  logs: string
}

/** What was started, to be stopped in reverse. */
export type Stops = (() => Promise<unknown>)[]

/** Installs the peer if need be, and starts its stores, its server and its worker. */
export async function startPeer(name: PeerName, folders: Folders, targetUrl: string): Promise<Engine> {
  const peer: Peer = findPeer(name)!
  const stops: Stops = []
  const stop = async () => {
    for (const each of stops.splice(0).reverse()) await each()
  }
  try {
    return await start(name, peer, folders, targetUrl, stops, stop)
  } catch (error) {
    await stop()
    throw error
  }
}

async function start(
  name: PeerName,
  peer: Peer,
  folders: Folders,
  targetUrl: string,
  stops: Stops,
  stop: () => Promise<void>,
): Promise<Engine> {
  const folder = join(folders.packages, name)
  await installPeer(peer, folder)
  for (const each of [folders.data, folders.logs]) mkdirSync(each, { recursive: true })
  const ports: number[] = []
  for (let count = 0; count < PORTS; count++) ports.push(await findFreePort())
  const place: Place = { folder, dataDir: join(folders.data, name), targetUrl, ports }
  const stores = new Map<string, number>()
  if (peer.stores.includes('postgres')) stores.set('postgres', await startDatabase(place, folders, stops))
  if (peer.stores.includes('redis')) stores.set('redis', await startRedis(place, folders, stops))
  const services = new Map<string, number>()
  if (peer.server) services.set('server', await startServer(peer, place, folders, stops))
  let worker = await startWorker(name, place, folders)
  stops.push(() => endProcess(worker, 'SIGKILL'))
  const client: Client = await peer.connect(place)
  stops.push(() => client.close())
  const looks = openStores(place)
  stops.push(() => looks.close())
  return {
    name,
    client,
    processes: () => ({ services: new Map([...services, ['worker', worker.pid!]]), stores }),
    stored: async () => ({ ...(peer.server && { database: bytesBelow(place.dataDir) }), ...(await looks.stored()) }),
    async crash() {
      await endProcess(worker, 'SIGKILL')
      worker = await startWorker(name, place, folders)
    },
    stop,
  }
}

/** PostgreSQL as the embedded stack runs it: fsync and synchronous_commit on. */
export async function startDatabase(place: Pick<Place, 'databaseUrl'>, { data }: Pick<Folders, 'data'>, stops: Stops): Promise<number> {
  const dataDir = join(data, 'postgres')
  const server = await startPostgres({ dataDir })
  const unguard = guardProcess(server.pid, dataDir)
  stops.push(() => server.stop({ remove: true }).then(unguard))
  place.databaseUrl = server.url
  return server.pid
}

/** Redis as the embedded stack runs it: append-only file, written out each second. */
export async function startRedis(
  place: Pick<Place, 'redisUrl'>,
  { data, logs }: Pick<Folders, 'data' | 'logs'>,
  stops: Stops,
): Promise<number> {
  const dir = join(data, 'redis')
  mkdirSync(dir, { recursive: true })
  const port = await findFreePort()
  const command = await bringRedisServer(stackPaths().redisPrograms, console.error)
  const settings = { port, bind: '127.0.0.1', dir, appendonly: 'yes', appendfsync: 'everysec', save: '', 'maxmemory-policy': 'noeviction' }
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)])
  const pid = await startProgram('redis', { command, args, dir }, logs, stops)
  place.redisUrl = `redis://127.0.0.1:${port}`
  const redis = new Redis(place.redisUrl, { retryStrategy: () => 50, maxRetriesPerRequest: null })
  redis.on('error', () => {}) // not there yet
  await redis.ping()
  redis.disconnect()
  return pid
}

async function startServer(peer: Peer, place: Place, { logs }: Folders, stops: Stops): Promise<number> {
  const { command, args, env, ready } = peer.server!(place)
  rmSync(place.dataDir, { recursive: true, force: true })
  mkdirSync(place.dataDir, { recursive: true })
  const pid = await startProgram('server', { command, args, env, dir: place.dataDir }, logs, stops)
  await ready()
  return pid
}

type Program = { command: string; args: string[]; env?: Record<string, string>; dir: string }

/** Starts a program that is ended, and its folder removed, when the engine stops or this process dies. */
export async function startProgram(name: string, { command, args, env, dir }: Program, logs: string, stops: Stops): Promise<number> {
  const log = openSync(join(logs, `${name}.log`), 'a')
  const child = spawn(command, args, { stdio: ['ignore', log, log], env: { ...process.env, ...env }, cwd: dir, detached: true })
  closeSync(log)
  await once(child, 'spawn')
  child.unref()
  const unguard = guardProcess(child.pid!, dir)
  stops.push(async () => {
    await endProcess(child, 'SIGTERM')
    unguard()
    rmSync(dir, { recursive: true, force: true })
  })
  return child.pid!
}

async function startWorker(name: PeerName, place: Place, { logs }: Folders): Promise<ChildProcess> {
  const log = openSync(join(logs, `${name}.log`), 'a')
  const entry = join(import.meta.dirname, 'work.ts')
  const worker = fork(entry, [name], { execArgv: ['--conditions=@baton/source', '--no-warnings'], stdio: ['ignore', log, log, 'ipc'] })
  closeSync(log)
  worker.send(place)
  const failed = once(worker, 'exit').then(([code, signal]) => {
    throw new Error(`the worker of ${name} did not come up (${signal ?? `exit code ${code}`}): see ${join(logs, `${name}.log`)}`)
  })
  failed.catch(() => {}) // it ends some day
  await Promise.race([once(worker, 'message'), failed])
  return worker
}

function bytesBelow(folder: string): number {
  const sizes = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => {
    const stats = statSync(join(folder, name), { throwIfNoEntry: false })
    return stats?.isFile() ? stats.blocks * 512 : 0
  })
  return sizes.reduce((sum, bytes) => sum + bytes, 0)
}
