/** The stack that chaos is done to, whatever it runs on: two of each service, each started again when it dies, PostgreSQL, Redis and the shop. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type DurablePostgres, type DurableRedis, until } from '@baton/testing'

export const SERVICES = ['orchestrator', 'workflow-runner', 'http-worker', 'hitl-worker', 'agent-runner', 'fanout'] as const
export type Service = (typeof SERVICES)[number]

/** One process of a service; its number counts from 1. */
export interface Replica {
  readonly service: Service
  readonly number: number
  readonly name: string
  readonly url: string
  /** Sends the signal; resolves with how the process ended (`killed`: somebody sent SIGKILL). It is started again soon, as a supervisor would. */
  end(signal: 'SIGKILL' | 'SIGTERM'): Promise<{ code: number | null; killed: boolean; durationMs: number }>
  /** SIGSTOP and SIGCONT. */
  stop(): Promise<void>
  go(): Promise<void>
  ready(timeoutMs?: number): Promise<void>
}

/** The PostgreSQL under the services. */
export type ChaosPostgres = Pick<DurablePostgres, 'restart' | 'terminateBackends'>

/** The Redis under the services. */
export interface ChaosRedis extends Pick<DurableRedis, 'kill' | 'start' | 'flushAll' | 'disk'> {
  /** It hangs without being gone, and goes on. */
  pause(): Promise<void>
  resume(): Promise<void>
}

export interface ChaosStack {
  urls: string[]
  liveUrls: string[]
  /** Where the record of the shop is read. */
  shopUrl: string
  /** Where the services reach the shop. */
  callUrl: string
  adminKey: string
  postgres: ChaosPostgres
  redis: ChaosRedis
  replicas: readonly Replica[]
  of(service: Service): Replica[]
  /** Processes that ended though nobody ended them. */
  crashes: string[]
  logs: string
  allReady(): Promise<void>
}

export const ROOT = join(import.meta.dirname, '../..')
const READY_MS = 60_000

/** An empty folder for the logs of the scenario, `.local/chaos/<name>`. */
export function logFolder(name: string): string {
  const folder = join(ROOT, '.local/chaos', name)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  return folder
}

/** Waits until the service at `url` says that it is ready. */
export async function readyAt(name: string, url: string, timeoutMs = READY_MS): Promise<void> {
  const answers = async () => (await fetch(`${url}/ready`, { signal: AbortSignal.timeout(5_000) }).catch(() => null))?.ok === true
  await until(answers, { timeoutMs, what: `${name} to be ready` })
}
