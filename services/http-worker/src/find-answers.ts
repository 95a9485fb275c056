/**
 * Whether the result of a call is on its way: it stands in the stream of facts from the moment it is sent until it is committed. Postgres, asked
 * meanwhile, would still want the call. Whoever asks while a stream is being read shares the reading that comes after it.
 */
import { callIdOf, ENTRY_FIELD, type Fact, type HttpCall, keys, PARTITION_COUNT, partitionOf } from '@baton/contracts'
import type { Redis } from '@baton/runtime'

const PAGE = 1_000

interface Reading {
  running: Promise<ReadonlySet<string>> | undefined
  next: Promise<ReadonlySet<string>> | undefined
}

/** Gives a function that tells of one call. A result that was sent before it is called is found, unless it was applied or lost meanwhile. */
export function findAnswers(redis: Redis): (call: HttpCall) => Promise<boolean> {
  const readings = Array.from({ length: PARTITION_COUNT }, (): Reading => ({ running: undefined, next: undefined }))

  function begin(reading: Reading, partition: number): Promise<ReadonlySet<string>> {
    const running = readResults(redis, keys.facts(partition)).finally(() => {
      reading.running = undefined
    })
    reading.running = running
    return running
  }

  function read(partition: number): Promise<ReadonlySet<string>> {
    const reading = readings[partition]!
    if (reading.running === undefined) return begin(reading, partition)
    reading.next ??= reading.running
      .catch(() => {})
      .then(() => {
        reading.next = undefined
        return reading.running === undefined ? begin(reading, partition) : read(partition)
      })
    return reading.next
  }

  return async (call) => (await read(partitionOf(call.runId))).has(callIdOf(call))
}

async function readResults(redis: Redis, stream: string): Promise<ReadonlySet<string>> {
  const found = new Set<string>()
  for (let from = '-'; ; ) {
    const entries = await redis.xrange(stream, from, '+', 'COUNT', PAGE)
    for (const [, fields] of entries) {
      for (const fact of JSON.parse(fields[fields.indexOf(ENTRY_FIELD) + 1] ?? '[]') as Fact[]) {
        if (fact.kind === 'result') found.add(callIdOf(fact))
      }
    }
    if (entries.length < PAGE) return found
    from = `(${entries.at(-1)![0]}`
  }
}
