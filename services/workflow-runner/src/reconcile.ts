/**
 * What Redis lost is found here and sent again. Inbox rows nobody was woken for, queued runs nobody started, and calls that are scheduled in
 * Postgres but stand in no stream and are held by no worker. A call is judged by itself, not with its run; one that is still in a stream (an
 * entry stays there until it is acknowledged) or whose worker keeps its `inflight:` key alive is not lost. Only what belongs to the partitions
 * that this runner holds is looked at, all of it, a page at a time.
 */
import { callIdOf, type Fact, keys, partitionOf } from '@baton/contracts'
import type { RunState, StepState } from '@baton/engine'
import { type Redis, type RedisWatch, redisNow } from '@baton/runtime'
import type { PartitionCut } from '@baton/store'
import type { Item } from './advance-loop.ts'
import { withoutCalls, withoutResults } from './find-traces.ts'

export interface ReconcileSource {
  /** Rows of the inbox from before the cut of their partition, oldest first, after that row. */
  staleInbox(cuts: readonly PartitionCut[], afterId: string | null, limit: number): Promise<{ id: string; runId: string }[]>
  /** Runs that are queued since before the cut of their partition, by id, after that id. */
  unstarted(cuts: readonly PartitionCut[], afterId: string | null, limit: number): Promise<string[]>
  /** Runs of these partitions and statuses that have not moved since `before` (ms), by id, after that id. */
  active(
    partitions: readonly number[],
    statuses: readonly Judged[],
    before: number,
    afterId: string | null,
    limit: number,
  ): Promise<{ id: string; seq: number }[]>
  /** Folded states of these runs; those that cannot be read are left out. */
  states(runIds: string[]): Promise<RunState[]>
  /** States in memory, of runs that this runner has advanced: those that move all the time are judged by these. */
  cached(): Iterable<RunState>
}

/** Runs that may have calls in flight. Paused ones do not move, and may be many: they are looked at when Redis was emptied, and at resume. */
export type Judged = 'running' | 'paused'

export interface Found {
  woken: number
  resent: number
  unsure: number
}

export interface Reconciler {
  /**
   * Wakes what nobody was woken for, and judges the calls that are older than this, of running runs if not told otherwise. Returns what it found;
   * it is unsure of calls whose workers may not have had the time to repeat that they hold them.
   */
  sweep(partitions: readonly number[], minAgeMs: number, statuses?: readonly Judged[]): Promise<Found>
}

const LIMIT = 1_000
/** Folded at a time: states of large runs are large. */
const STATES_AT_ONCE = 100
const CLOCK_SLACK_MS = 2_000
/** Whoever has waited for longer is woken although older facts of the partition still wait: one of them may wait for ever. */
const BACKLOG_MS_MAX = 20_000

/** A reconciler that offers what it finds to the loop. `now` is Postgres' clock. */
export function createReconciler(options: {
  source: ReconcileSource
  redis: Redis
  watch: Pick<RedisWatch, 'isSettled'>
  offer(items: Item[]): Promise<void>
  now(): number
  staleMs: number
}): Reconciler {
  const { source, redis, watch, offer, now, staleMs } = options

  async function wakeInbox(cuts: readonly PartitionCut[]): Promise<number> {
    const woken = new Set<string>()
    for (let after: string | null = null; ; ) {
      const rows = await source.staleInbox(cuts, after, LIMIT)
      const fresh = new Set(rows.map(({ runId }) => runId).filter((runId) => !woken.has(runId)))
      for (const runId of fresh) woken.add(runId)
      if (fresh.size > 0) await offer([...fresh].map((runId) => itemOf({ kind: 'inbox', runId })))
      if (rows.length < LIMIT) return woken.size
      after = rows.at(-1)!.id
    }
  }

  async function startQueued(cuts: readonly PartitionCut[]): Promise<number> {
    let woken = 0
    for (let after: string | null = null; ; ) {
      const ids = await source.unstarted(cuts, after, LIMIT)
      if (ids.length > 0) await offer(ids.map((runId) => itemOf({ kind: 'sweep', runId, lost: [] })))
      woken += ids.length
      if (ids.length < LIMIT) return woken
      after = ids.at(-1)!
    }
  }

  async function judge(
    partitions: readonly number[],
    minAgeMs: number,
    statuses: readonly Judged[],
  ): Promise<Pick<Found, 'resent' | 'unsure'>> {
    const held = new Set(partitions)
    const before = now() - minAgeMs
    const moving: Suspect[] = []
    const seqs = new Map<string, number>()
    for (const state of source.cached()) {
      if (!held.has(partitionOf(state.header.runId))) continue
      seqs.set(state.header.runId, state.seq)
      if (state.inFlight.size > 0) moving.push(...suspectsOf(state, before))
    }
    const found = { resent: 0, unsure: 0 }
    await resend(moving, found)
    for (let after: string | null = null; ; ) {
      const runs = await source.active(partitions, statuses, before, after, LIMIT)
      // What is in memory as it is in Postgres was judged just now.
      const cold = runs.filter(({ id, seq }) => seqs.get(id) !== seq).map(({ id }) => id)
      await resend(await suspectsAmong(cold, before), found)
      if (runs.length < LIMIT) return found
      after = runs.at(-1)!.id
    }
  }

  async function suspectsAmong(runIds: readonly string[], before: number): Promise<Suspect[]> {
    const suspects: Suspect[] = []
    for (let at = 0; at < runIds.length; at += STATES_AT_ONCE) {
      const ids = runIds.slice(at, at + STATES_AT_ONCE)
      const states = await source.states(ids)
      for (const state of states) suspects.push(...suspectsOf(state, before))
      const read = new Set(states.map((state) => state.header.runId))
      // Nothing but a fact brings a run that cannot be read to its end.
      const unread = ids.filter((runId) => !read.has(runId))
      if (unread.length > 0) await offer(unread.map((runId) => itemOf({ kind: 'sweep', runId, lost: [] })))
    }
    return suspects
  }

  async function resend(suspects: Suspect[], found: Pick<Found, 'resent' | 'unsure'>): Promise<void> {
    const lost = suspects.length === 0 ? [] : await withoutTrace(redis, suspects)
    if (lost.length === 0) return
    if (await watch.isSettled()) {
      found.resent += lost.length
      await offer(itemsOf(lost))
    } else found.unsure += lost.length
  }

  return {
    async sweep(partitions, minAgeMs, statuses = ['running']) {
      if (partitions.length === 0) return { woken: 0, resent: 0, unsure: 0 }
      const cuts = await cutsOf(redis, partitions, now(), Math.min(staleMs, minAgeMs))
      const woken = (await wakeInbox(cuts)) + (await startQueued(cuts))
      return { woken, ...(await judge(partitions, minAgeMs, statuses)) }
    },
  }
}

/** Up to when somebody should have been woken: a fact that still waits in its stream, behind others, is not lost. */
async function cutsOf(redis: Redis, partitions: readonly number[], now: number, ageMs: number): Promise<PartitionCut[]> {
  const at = await redisNow(redis)
  const look = redis.pipeline()
  for (const partition of partitions) look.xrange(keys.facts(partition), '-', '+', 'COUNT', 1)
  const oldest = ((await look.exec()) ?? []).map(([error, entries]) => {
    if (error) throw error
    return entries as [id: string][]
  })
  return partitions.map((partition, i) => {
    const entry = oldest[i]![0]
    const waitsMs = entry ? at - timeOfEntry(entry[0]) + CLOCK_SLACK_MS : 0
    return { partition, before: now - Math.max(ageMs, Math.min(waitsMs, BACKLOG_MS_MAX)) }
  })
}

interface Suspect {
  runId: string
  callId: string
  agent: boolean
}

function suspectsOf(state: RunState, scheduledBefore: number): Suspect[] {
  const { runId } = state.header
  const old = (step: StepState) => (step.scheduledAt ?? 0) <= scheduledBefore
  return [...state.inFlight].filter(old).map((step) => ({
    runId,
    callId: callIdOf({ runId, path: step.path, generation: step.generation, attempt: step.attempt }),
    agent: step.step.kind === 'agent',
  }))
}

/**
 * Those that stand in no stream and are held by no worker. The fact of a call is in its stream before the call leaves its own, so a call that
 * is in neither, looked for in this order, is lost or its fact was applied meanwhile; then sending it again does nothing. Agent turns are left
 * to BullMQ, which takes a job id only once.
 */
async function withoutTrace(redis: Redis, suspects: Suspect[]): Promise<Suspect[]> {
  const calls = suspects.filter(({ agent }) => !agent).map(({ callId }) => callId)
  const missing = await withoutCalls(redis, calls)
  const unseen = suspects.filter(({ agent, callId }) => agent || missing.has(callId))
  if (unseen.length === 0) return []
  const pipeline = redis.pipeline()
  for (const { callId } of unseen) pipeline.exists(keys.inflight(callId))
  const held = (await pipeline.exec()) ?? []
  const free = unseen.filter((_, i) => held[i]?.[1] === 0)
  const silent = await withoutResults(
    redis,
    free.map(({ callId }) => callId),
  )
  return free.filter(({ callId }) => silent.has(callId))
}

function itemsOf(lost: Suspect[]): Item[] {
  return [...Map.groupBy(lost, ({ runId }) => runId)].map(([runId, calls]) =>
    itemOf({ kind: 'sweep', runId, lost: calls.map(({ callId }) => callId) }),
  )
}

function itemOf(fact: Fact): Item {
  return { deliveries: [{ fact, redelivered: false }] }
}

function timeOfEntry(id: string): number {
  return Number(id.slice(0, id.indexOf('-')))
}
