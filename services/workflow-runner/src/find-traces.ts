/**
 * Where a call stands in Redis. Its entry stays in a stream of calls until its result is in the stream of facts, and the fact stays there until
 * it is applied: a call that stands in neither was never sent, or is lost.
 */
import { callIdOf, ENTRY_FIELD, type Fact, type HttpCall, keys, PARTITION_COUNT, partitionOf } from '@baton/contracts'
import type { Redis } from '@baton/runtime'

const PAGE = 1_000

type CallIdentity = Parameters<typeof callIdOf>[0]

/** Removes from `missing` (ids of calls) those that stand in a stream of calls. Looks first up to `until` (ms), where they were put when they were scheduled. */
export async function dropThoseInStreams(redis: Redis, missing: Set<string>, until: number): Promise<void> {
  const untilMs = Math.ceil(until) // times of Postgres have fractions, ids of entries have none
  for (const [first, last] of [
    ['-', `${untilMs}`],
    [`${untilMs + 1}`, '+'],
  ] as const) {
    for (let lane = 0; lane < PARTITION_COUNT && missing.size > 0; lane++) {
      await readAll<CallIdentity>(redis, keys.calls(lane), first, last, (call) => {
        missing.delete(callIdOf(call))
        return missing.size > 0
      })
    }
  }
}

/** Of calls that are to be sent again, those that really have to: they stand in no stream, nor does their result. In this order, since a result is put down before its call is taken away. */
export async function withoutStanding(redis: Redis, calls: readonly HttpCall[]): Promise<HttpCall[]> {
  const missing = new Set(calls.map(callIdOf))
  if (missing.size === 0) return []
  await dropThoseInStreams(
    redis,
    missing,
    calls.reduce((until, call) => Math.max(until, call.at), 0),
  )
  for (const partition of new Set(calls.map((call) => partitionOf(call.runId)))) {
    if (missing.size === 0) break
    await readAll<Fact>(redis, keys.facts(partition), '-', '+', (fact) => {
      if (fact.kind === 'result') missing.delete(callIdOf(fact))
      return missing.size > 0
    })
  }
  return calls.filter((call) => missing.has(callIdOf(call)))
}

/** Reads what the entries of a stream hold, until `take` says that it has enough. */
async function readAll<T>(redis: Redis, stream: string, first: string, last: string, take: (item: T) => boolean): Promise<void> {
  for (let from = first; ; ) {
    const entries = await redis.xrange(stream, from, last, 'COUNT', PAGE)
    for (const [, fields] of entries) {
      for (const item of JSON.parse(fields[fields.indexOf(ENTRY_FIELD) + 1] ?? '[]') as T[]) if (!take(item)) return
    }
    if (entries.length < PAGE) return
    from = `(${entries.at(-1)![0]}`
  }
}
