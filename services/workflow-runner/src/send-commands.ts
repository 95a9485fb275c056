/** The way out after a commit: calls in packs, one entry of events and the ended runs in one pipeline; slow work by BullMQ. */
import {
  type AgentTurn,
  ENTRY_FIELD,
  type Fact,
  type HttpCall,
  keys,
  type LiveEvent,
  type Notification,
  partitionOf,
} from '@baton/contracts'
import type { Redis } from '@baton/runtime'
import { boundEvents } from './bound-events.ts'
import { withoutStanding } from './find-traces.ts'
import type { Outgoing } from './outgoing.ts'

const PACK_MAX = 32
const EVENTS_PER_ENTRY = 500

type Pipeline = ReturnType<Redis['pipeline']>
type Ride = (pipeline: Pipeline) => (() => void) | undefined

/** Puts jobs into a queue; resolves when Redis has them. */
export interface Producer<T> {
  addMany(jobs: readonly T[]): Promise<void>
}

/**
 * A sender for one runner. It always uses the same lane, so that the events of a run keep their order. `workers` is how many http-workers
 * live: when many calls are ready they travel in packs of min(32, ready / (4 × workers)).
 */
export function createSender(options: {
  /** Asked where calls stand. */
  redis: Redis
  /** Takes what is sent; it must fail rather than send anything twice. */
  sending: Redis
  lane: number
  workers(): number
  agentTurns: Producer<AgentTurn>
  notifications: Producer<Notification>
  /** Bound of this runner's share of the live events. */
  eventsBytesMax: number
  /** Called just before a pipeline goes out: commands added here ride along, their results are not looked at. What it gives is called after. */
  ride?: Ride
}): (outgoing: Outgoing) => Promise<void> {
  const { redis, sending, lane, workers, agentTurns, notifications } = options
  const keepEvents = boundEvents(options.eventsBytesMax)
  return async (outgoing) => {
    const calls = outgoing.calls.some((call) => call.resent) ? await callsToSend(redis, outgoing.calls) : outgoing.calls
    const pipeline = sending.pipeline()
    for (const pack of packsOf(calls, workers())) pipeline.xadd(keys.calls(lane), '*', ENTRY_FIELD, JSON.stringify(pack))
    for (const events of chunksOf(outgoing.events, EVENTS_PER_ENTRY)) {
      const text = JSON.stringify(events)
      pipeline.xadd(keys.events(lane), 'MAXLEN', '~', keepEvents(text.length), '*', ENTRY_FIELD, text)
    }
    for (const [partition, facts] of wakeUpsOf(outgoing)) pipeline.xadd(keys.facts(partition), '*', ENTRY_FIELD, JSON.stringify(facts))
    if (outgoing.ending.length > 0) pipeline.publish(keys.ending, outgoing.ending.join(','))
    if (outgoing.ended.length > 0) pipeline.publish(keys.ended, outgoing.ended.join(','))
    const slow = Promise.all([
      outgoing.turns.length > 0 ? agentTurns.addMany(outgoing.turns) : undefined,
      outgoing.notifications.length > 0 ? notifications.addMany(outgoing.notifications) : undefined,
    ])
    // A queue refuses at once while the pipeline waits for Redis: the pipeline is awaited nevertheless, or each new try would add to it.
    slow.catch(() => {})
    if (pipeline.length > 0) await sendOut(pipeline, options.ride)
    await slow
  }
}

/** What tells other runs to look into their inbox, and child runs to start, by partition. */
function wakeUpsOf({ woken, started }: Outgoing): Map<number, Fact[]> {
  const byPartition = new Map<number, Fact[]>()
  const add = (fact: Fact) => {
    const partition = partitionOf(fact.runId)
    byPartition.set(partition, [...(byPartition.get(partition) ?? []), fact])
  }
  for (const runId of woken) add({ kind: 'inbox', runId })
  for (const runId of started) add({ kind: 'start', runId })
  return byPartition
}

async function sendOut(pipeline: Pipeline, ride: Ride | undefined): Promise<void> {
  const commands = pipeline.length
  const answered = ride?.(pipeline)
  try {
    const replies = (await pipeline.exec()) ?? []
    for (const [error] of replies.slice(0, commands)) if (error) throw error
  } finally {
    answered?.()
  }
}

/** What is to be sent again may stand in a stream after all: a second entry would be a second request to whoever is called. */
async function callsToSend(redis: Redis, calls: readonly HttpCall[]): Promise<HttpCall[]> {
  const again = await withoutStanding(
    redis,
    calls.filter((call) => call.resent),
  )
  return [...calls.filter((call) => !call.resent), ...again]
}

/** Ready calls in packs: one each when idle, larger ones when many are ready at once. */
export function packsOf(calls: readonly HttpCall[], workers: number): HttpCall[][] {
  return chunksOf(calls, Math.min(PACK_MAX, Math.ceil(calls.length / (4 * Math.max(1, workers)))))
}

function chunksOf<T extends HttpCall | LiveEvent>(items: readonly T[], size: number): T[][] {
  const chunks: T[][] = []
  for (let at = 0; at < items.length; at += size) chunks.push(items.slice(at, at + size))
  return chunks
}
