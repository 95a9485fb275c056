/** How an engine of others is described; each has a file of its own beside this one. */
import type { Client, RunRequest } from '../engine.ts'

/** Where the parts of a peer are. */
export interface Place {
  /** Its packages are installed here. */
  folder: string
  /** For files of its own. */
  dataDir: string
  targetUrl: string
  databaseUrl?: string
  redisUrl?: string
  /** Free ports: the first is the worker's, the others are for a server. */
  ports: number[]
}

/** A server of the peer's own, beside its worker process. */
export interface PeerServer {
  command: string
  args: string[]
  env: Record<string, string>
  /** Resolves once it serves. */
  ready(): Promise<void>
}

/** What a worker process that holds workflows and the program that starts them offers to the measuring process. */
export interface Handlers {
  start(run: RunRequest): Promise<unknown>
  run(run: RunRequest): Promise<unknown>
  approve(run: RunRequest): Promise<unknown>
}

/** An engine of others. */
export interface Peer {
  /** As it is called in tables. */
  title: string
  /** Exact versions from npm. */
  packages: Record<string, string>
  stores: readonly ('postgres' | 'redis')[]
  /** What it does before it says that a step is done. */
  durability: string
  /** Runs that are started one at a time, where a run takes so long that fewer must do. */
  idleRunsMax?: number
  server?(place: Place): PeerServer
  /** Runs in the worker process; resolves when it takes runs. */
  work(place: Place): Promise<void>
  /** In the measuring process, once server and worker serve. */
  connect(place: Place): Promise<Client>
}
