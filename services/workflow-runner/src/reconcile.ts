/**
 * What Redis lost is found here and sent again. Inbox rows nobody was woken for, queued runs nobody started, and calls that are scheduled in
 * Postgres but stand in no stream and are held by no worker. A call is judged by itself, not with its run; one that is still in a stream (an
 * entry stays there until it is acknowledged) or whose worker keeps its `inflight:` key alive is not lost.
 */
import { callIdOf, keys, partitionOf } from '@baton/contracts'
import type { RunState, StepState } from '@baton/engine'
import type { Redis } from '@baton/runtime'
import type { Item } from './advance-loop.ts'
import { dropThoseInStreams } from './find-traces.ts'

export interface ReconcileSource {
  /** Runs with inbox rows older than this. */
  staleInbox(olderThanMs: number, limit: number): Promise<string[]>
  /** Runs that are queued for longer than this. */
  unstarted(olderThanMs: number, limit: number): Promise<string[]>
  /** Running runs that have not moved for this many ms, by id, after that id. */
  active(olderThanMs: number, afterId: string | null, limit: number): Promise<string[]>
  /** Folded states of these runs. */
  states(runIds: string[]): Promise<RunState[]>
  /** States in memory, of runs that this runner has advanced: those that move all the time are judged by these. */
  cached(): Iterable<RunState>
}

export interface Reconciler {
  /** Wakes what nobody was woken for, and judges the calls of running runs that are older than this. Returns what it found. */
  sweep(partitions: readonly number[], minAgeMs: number): Promise<{ woken: number; resent: number }>
}

const LIMIT = 1_000
/** Folded at a time: states of large runs are large. */
const STATES_AT_ONCE = 100
const CLOCK_SLACK_MS = 2_000
const APPLY_MS_MAX = 2_000

/** A reconciler that offers what it finds to the loop. `now` is Postgres' clock. */
export function createReconciler(options: {
  source: ReconcileSource
  redis: Redis
  offer(items: Item[]): Promise<void>
  now(): number
  staleMs: number
}): Reconciler {
  const { source, redis, offer, now, staleMs } = options

  async function wake(partitions: ReadonlySet<number>, ageMs: number): Promise<number> {
    const [inbox, unstarted] = await Promise.all([source.staleInbox(ageMs, LIMIT), source.unstarted(ageMs, LIMIT)])
    const items: Item[] = []
    for (const runId of inbox)
      if (partitions.has(partitionOf(runId))) items.push({ deliveries: [{ fact: { kind: 'inbox', runId }, redelivered: false }] })
    for (const runId of unstarted) {
      if (partitions.has(partitionOf(runId))) items.push({ deliveries: [{ fact: { kind: 'sweep', runId, lost: [] }, redelivered: false }] })
    }
    if (items.length > 0) await offer(items)
    return items.length
  }

  async function judge(partitions: ReadonlySet<number>, minAgeMs: number): Promise<number> {
    const before = now() - minAgeMs
    const isMine = (runId: string) => partitions.has(partitionOf(runId))
    const moving: Suspect[] = []
    for (const state of source.cached())
      if (state.inFlight.size > 0 && isMine(state.header.runId)) moving.push(...suspectsOf(state, before))
    let resent = await resend(moving)
    const judged = new Set(moving.map(({ callId }) => callId))
    for (let after: string | null = null; ; ) {
      const ids: string[] = await source.active(minAgeMs, after, LIMIT)
      const mine = ids.filter(isMine)
      const still: Suspect[] = []
      for (let at = 0; at < mine.length; at += STATES_AT_ONCE) {
        for (const state of await source.states(mine.slice(at, at + STATES_AT_ONCE))) still.push(...suspectsOf(state, before))
      }
      resent += await resend(still.filter(({ callId }) => !judged.has(callId)))
      if (ids.length < LIMIT) return resent
      after = ids.at(-1)!
    }
  }

  async function resend(suspects: Suspect[]): Promise<number> {
    const lost = suspects.length === 0 ? [] : await withoutTrace(redis, suspects)
    if (lost.length > 0) await offer(itemsOf(lost))
    return lost.length
  }

  return {
    async sweep(partitions, minAgeMs) {
      const set = new Set(partitions)
      const woken = await wake(set, Math.min(staleMs, minAgeMs))
      return { woken, resent: await judge(set, minAgeMs) }
    },
  }
}

interface Suspect {
  runId: string
  callId: string
  scheduledAt: number
  agent: boolean
}

function suspectsOf(state: RunState, scheduledBefore: number): Suspect[] {
  const { runId } = state.header
  const old = (step: StepState) => (step.scheduledAt ?? 0) <= scheduledBefore
  return [...state.inFlight].filter(old).map((step) => ({
    runId,
    callId: callIdOf({ runId, path: step.path, generation: step.generation, attempt: step.attempt }),
    scheduledAt: step.scheduledAt ?? 0,
    agent: step.step.kind === 'agent',
  }))
}

/**
 * Those that stand in no stream and are held by no worker. The fact of a call is in its stream before the call leaves its own, so a call that
 * is not there is lost only if the facts that were there at that moment have all been applied. Agent turns are left to BullMQ, which takes a
 * job id only once.
 */
async function withoutTrace(redis: Redis, suspects: Suspect[]): Promise<Suspect[]> {
  const missing = new Set<string>()
  let scheduledUntil = 0
  for (const { agent, callId, scheduledAt } of suspects) {
    if (!agent) missing.add(callId)
    scheduledUntil = Math.max(scheduledUntil, scheduledAt)
  }
  await dropThoseInStreams(redis, missing, scheduledUntil + CLOCK_SLACK_MS)
  const unseen = suspects.filter((suspect) => suspect.agent || missing.has(suspect.callId))
  if (unseen.length === 0) return []
  const held = await Promise.all(unseen.map((suspect) => redis.exists(keys.inflight(suspect.callId))))
  const applied = await partitionsApplied(redis, new Set(unseen.map((suspect) => partitionOf(suspect.runId))))
  return unseen.filter((suspect, i) => held[i] === 0 && applied.has(partitionOf(suspect.runId)))
}

/** The partitions in which every fact that is there now gets applied within `APPLY_MS_MAX`. */
async function partitionsApplied(redis: Redis, partitions: ReadonlySet<number>): Promise<Set<number>> {
  const [seconds, micros] = await redis.time()
  const now = Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)
  const applied = new Set<number>()
  for (let waitedMs = 0; waitedMs <= APPLY_MS_MAX && applied.size < partitions.size; waitedMs += 50) {
    if (waitedMs > 0) await new Promise((resolve) => setTimeout(resolve, 50))
    for (const partition of partitions) {
      if (applied.has(partition)) continue
      const [oldest] = await redis.xrange(keys.facts(partition), '-', '+', 'COUNT', 1)
      if (!oldest || timeOfEntry(oldest[0]) > now) applied.add(partition)
    }
  }
  return applied
}

function itemsOf(lost: Suspect[]): Item[] {
  const byRun = new Map<string, string[]>()
  for (const { runId, callId } of lost) byRun.set(runId, [...(byRun.get(runId) ?? []), callId])
  return [...byRun].map(([runId, calls]) => ({ deliveries: [{ fact: { kind: 'sweep', runId, lost: calls }, redelivered: false }] }))
}

function timeOfEntry(id: string): number {
  return Number(id.slice(0, id.indexOf('-')))
}
