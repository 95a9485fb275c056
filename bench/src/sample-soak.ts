/** Looks at a stack every few seconds: memory of each process, Redis, the tables of the database. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Engine } from './engine.ts'
import { PASSING_TABLES } from './judge-soak.ts'
import { memoryOf } from './processes.ts'
import type { Stores, TableFigures } from './stores.ts'

/** What a stack holds at a moment. */
export interface Sample {
  phase: string
  /** Bytes by process: RSS, and PSS for Postgres, whose processes share most of theirs. */
  memory: Record<string, number>
  redis: { bytes: number; keys: number }
  tables: TableFigures[]
}

/** Reads everything once. */
export async function takeSample(engine: Pick<Engine, 'processes'>, stores: Stores, phase: string): Promise<Sample> {
  const { services, stores: storePids } = engine.processes()
  const read = memoryOf(new Map([...services, ...storePids]))
  const memory = Object.fromEntries([...read].map(([name, { pss, rss }]) => [name, name === 'postgres' ? pss : rss]))
  return { phase, memory, redis: await stores.redis(), tables: await stores.tables(PASSING_TABLES) }
}

/** Samples each `everyMs` while the work is under way, and once at its end. */
export async function sampleWhile<T>(work: Promise<T>, everyMs: number, sample: () => Promise<void>): Promise<T> {
  const ended = new AbortController()
  const watched = work.finally(() => ended.abort())
  watched.catch(() => {}) // it is awaited below, after the sample under way
  while (!ended.signal.aborted) {
    await sample()
    await delay(everyMs, undefined, { signal: ended.signal }).catch(() => {})
  }
  await sample()
  return watched
}
