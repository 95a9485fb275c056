/**
 * Acknowledgements of facts. They hurry nobody, so they ride with the next commands that go out; on an idle stack that spares every step a round
 * trip to Redis. What is not acknowledged when this process dies comes again, and is then found to be applied.
 */
import { GROUPS } from '@baton/contracts'
import { ackEntries, type Logger, type Redis } from '@baton/runtime'

type Pipeline = ReturnType<Redis['pipeline']>

export interface FactAcks {
  /** Everything that follows from the entry is safe. `forget` is called when Redis has answered, or when it did not. */
  add(stream: string, id: string, forget: () => void): void
  /** Adds what waits to a pipeline that goes out anyway; call what it gives when that was answered or has failed. */
  ride(pipeline: Pipeline): () => void
  /** Sends what waits, and from now on at once; resolves when all is answered. */
  close(): Promise<void>
}

/** What finds nothing to ride with goes by itself after this. */
const ALONE_AFTER_MS = 50

/** Acknowledges through `redis` what finds nothing to ride with. */
export function createFactAcks(options: { redis: Redis; log: Logger }): FactAcks {
  const { redis, log } = options
  let waiting: { stream: string; id: string; forget: () => void }[] = []
  let timer: NodeJS.Timeout | undefined
  let closed = false
  let flushing: Promise<void> = Promise.resolve()

  function ride(pipeline: Pipeline): () => void {
    const batch = waiting
    waiting = []
    clearTimeout(timer)
    timer = undefined
    for (const [stream, entries] of Map.groupBy(batch, (entry) => entry.stream)) {
      ackEntries(
        pipeline,
        stream,
        GROUPS.facts,
        entries.map(({ id }) => id),
      )
    }
    return () => {
      for (const { forget } of batch) forget()
    }
  }

  function flush(): void {
    if (waiting.length > 0) flushing = Promise.all([flushing, send()]).then(() => {})
  }

  async function send(): Promise<void> {
    const pipeline = redis.pipeline()
    const answered = ride(pipeline)
    await pipeline.exec().catch((error: unknown) => log.warn({ err: error }, 'facts could not be acknowledged, they will come again'))
    answered()
  }

  return {
    add(stream, id, forget) {
      waiting.push({ stream, id, forget })
      if (closed && waiting.length === 1) queueMicrotask(flush)
      else if (!closed) timer ??= setTimeout(flush, ALONE_AFTER_MS)
    },
    ride,
    async close() {
      closed = true
      flush()
      await flushing
    },
  }
}
