/**
 * Where a call stands in Redis. Its entry stays in a stream of calls until its result is in the stream of facts, and the fact stays there until
 * it is applied: a call that stands in neither was never sent, or is lost.
 */
import { callIdOf, type Fact, GROUPS, type HttpCall, keys, PARTITION_COUNT } from '@baton/contracts'
import type { Redis } from '@baton/runtime'
import { indexStreams, type StreamIndex } from './index-streams.ts'

type CallIdentity = Parameters<typeof callIdOf>[0]

interface Traces {
  calls: StreamIndex
  results: StreamIndex
}

const ALL = Array.from({ length: PARTITION_COUNT }, (_, n) => n)
/** One for each connection: whoever sends and whoever reconciles ask the same one. */
const tracesOf = new WeakMap<Redis, Traces>()

function tracesFor(redis: Redis): Traces {
  const known = tracesOf.get(redis)
  if (known) return known
  const resultOf = (fact: Fact) => (fact.kind === 'result' ? callIdOf(fact) : undefined)
  const traces: Traces = {
    calls: indexStreams<CallIdentity>({ redis, streams: ALL.map(keys.calls), group: GROUPS.calls, idOf: callIdOf }),
    results: indexStreams<Fact>({ redis, streams: ALL.map(keys.facts), group: GROUPS.facts, idOf: resultOf }),
  }
  tracesOf.set(redis, traces)
  return traces
}

/** Of calls, by id, those that stand in no stream of calls. */
export function withoutCalls(redis: Redis, ids: readonly string[]): Promise<Set<string>> {
  return without(tracesFor(redis).calls, ids)
}

/** Of calls, by id, those whose result stands in no stream of facts. To be asked after the calls: a result is put down before its call is taken away. */
export function withoutResults(redis: Redis, ids: readonly string[]): Promise<Set<string>> {
  return without(tracesFor(redis).results, ids)
}

async function without(index: StreamIndex, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set()
  const standing = await index.standing(ids)
  return new Set(ids.filter((id) => !standing.has(id)))
}

/** Of calls that are to be sent again, those that really have to: they stand in no stream, nor does their result. */
export async function withoutStanding(redis: Redis, calls: readonly HttpCall[]): Promise<HttpCall[]> {
  const missing = await withoutResults(redis, [...(await withoutCalls(redis, calls.map(callIdOf)))])
  return calls.filter((call) => missing.has(callIdOf(call)))
}
