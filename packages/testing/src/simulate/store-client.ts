/**
 * A pool of connections to the tables, as a runner uses it. What the real store does in one statement is one request; what it does in two,
 * two. The outcome of a commit may stay unknown: applied, not applied, or applied later.
 */
import type { InboxFact, Json, StoredEvent } from '@baton/contracts'
import type { Dice } from './dice.ts'
import { createLink } from './link.ts'
import type { Commit, RunHeader } from './memory-rows.ts'
import type { Tables } from './memory-tables.ts'
import type { Process, Scheduler } from './scheduler.ts'
import type { Weather } from './weather.ts'

/** What no row may hold; Postgres refuses it. */
export const POISON = '\u0000'

export interface StoreWorld {
  tables: Tables
  scheduler: Scheduler
  weather: Weather
  dice: Dice
}

/** A run as it is folded: its events after the snapshot. */
interface LoadedRun {
  header: RunHeader
  seq: number
  events: StoredEvent[]
  snapshot?: { seq: number }
}

interface Outcome {
  won: Set<string>
  refused: Map<string, Error>
  at: number
  woken: string[]
}

export type StoreClient = ReturnType<typeof connectMemoryStore>

const lost = () => Object.assign(new Error('write CONNECTION_CLOSED'), { code: 'CONNECTION_CLOSED' })

/** Connects a process. */
export function connectMemoryStore(world: StoreWorld, owner: Process) {
  const { tables, scheduler, weather, dice } = world
  const link = createLink(scheduler, weather, owner, dice)

  const given: ReturnType<Tables['due']> = []

  async function ask<T>(effect: () => T): Promise<T> {
    if (weather.chance('lostRequest')) return link.request(() => fail(lost()))
    const answer = await link.request(effect)
    if (weather.chance('lostAnswer')) throw lost()
    return answer
  }

  async function commitOnce(batch: readonly Commit[]) {
    const frozen = structuredClone(
      batch.map(({ runId, workflow, fromSeq, toSeq, summary, decision, inboxIds, beyond }) => {
        const { events, timersSet, timersCleared, approvalsOpened, approvalsClosed } = decision
        return {
          runId,
          workflow,
          ...(beyond ? { beyond } : {}),
          fromSeq,
          toSeq,
          summary,
          inboxIds,
          decision: { events, timersSet, timersCleared, approvalsOpened, approvalsClosed },
        }
      }),
    )
    owner.hot = true
    if (weather.chance('lateCommit')) {
      // The connection broke; Postgres works on, and who asked does not hear of it.
      const isTaken = !frozen.some(isPoisoned)
      scheduler.after(dice.between(5, 3_000), () => isTaken && tables.commit(frozen, owner.name))
      return link.request(() => fail(lost()))
    }
    const outcome = await ask(() => {
      if (frozen.some(isPoisoned)) throw Object.assign(new Error('unsupported Unicode escape sequence'), { code: '22P05' })
      return tables.commit(frozen, owner.name)
    })
    owner.hot = true
    return outcome
  }

  /** As commitBatchBisecting does. */
  async function commit(batch: readonly Commit[]): Promise<Outcome> {
    try {
      return { ...(await commitOnce(batch)), refused: new Map() }
    } catch (error) {
      if ((error as { code?: string }).code !== '22P05') throw error
      if (batch.length === 1) {
        return { won: new Set(), at: await ask(tables.now), woken: [], refused: new Map([[batch[0]!.runId, error as Error]]) }
      }
      const middle = batch.length >> 1
      const first = await commit(batch.slice(0, middle))
      const second = await commit(batch.slice(middle))
      return {
        won: new Set([...first.won, ...second.won]),
        at: second.at,
        woken: [...first.woken, ...second.woken],
        refused: new Map([...first.refused, ...second.refused]),
      }
    }
  }

  async function loadRuns(ids: readonly string[], { whole = false } = {}): Promise<Map<string, LoadedRun>> {
    const headers = await ask(() => structuredClone(tables.loadHeaders(ids)))
    const texts = whole ? [] : await ask(() => headers.map(({ header, seq }) => tables.snapshotOf(header.runId, seq)))
    const snapshots = headers.map((_, i) => (texts[i] === undefined ? undefined : (JSON.parse(texts[i]) as { seq: number })))
    const events = await ask(() => headers.map(({ header, seq }, i) => tables.loadEvents(header.runId, snapshots[i]?.seq ?? 0, seq)))
    const runs = headers.map(({ header, seq }, i): [string, LoadedRun] => {
      return [header.runId, { header, seq, events: events[i]!, ...(snapshots[i] ? { snapshot: snapshots[i] } : {}) }]
    })
    return new Map(runs)
  }

  return {
    commit,
    loadRuns,
    putSnapshot: (_: string, runId: string, seq: number, text: string) => ask(() => tables.putSnapshot(runId, seq, text)),
    removeSnapshots: (runId: string) => ask(() => tables.removeSnapshots(runId)),
    clock: () => ask(tables.now),
    loadInbox: (ids: readonly string[]) => ask(() => structuredClone(tables.loadInbox(ids))),
    addToInbox: (runId: string, fact: InboxFact) => ask(() => tables.addToInbox(runId, fact)),
    isWanted: (call: Parameters<Tables['isWanted']>[0]) => ask(() => tables.isWanted(call)),
    getBlobs: (_: string, ids: readonly string[]) =>
      ask(() => new Map(ids.flatMap((id) => (tables.blobs.has(id) ? [[id, JSON.parse(tables.blobs.get(id)!) as Json] as const] : [])))),
    putBlobs: (_: string, blobs: ReadonlyMap<string, string>) =>
      ask(() => {
        for (const [id, text] of blobs) tables.blobs.set(id, text)
      }),
    /** What another runner was given before, and was stopped with, comes late. */
    async due(partitions: readonly number[], limit: number) {
      const due = await ask(() => tables.due(partitions, limit))
      given.push(...due)
      if (given.length === 0 || !weather.chance('lateTimers')) return due
      // Those that would do most harm first: a timer of the same name is due at another time by now, whatever the runner calls the two.
      const harmful = given.filter((row) => (tables.timerOf(row)?.dueAt ?? row.dueAt) !== row.dueAt)
      return [...due, ...(harmful.length > 0 ? harmful : given).slice(-2)]
    },
    async nextInMs(partitions: readonly number[]) {
      const next = await ask(() => tables.nextInMs(partitions))
      return weather.chance('lateTimers') ? dice.between(10, 400) : next
    },
    staleInbox: (...args: Parameters<Tables['stale']>) => ask(() => tables.stale(...args)),
    unstarted: (...args: Parameters<Tables['unstarted']>) => ask(() => tables.unstarted(...args)),
    active: (...args: Parameters<Tables['active']>) => ask(() => tables.active(...args)),
  }
}

function isPoisoned({ decision }: Commit): boolean {
  return decision.events.some(({ data }) => JSON.stringify(data).includes('\\u0000'))
}

function fail(error: Error): never {
  throw error
}
