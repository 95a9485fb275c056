/** Sending facts to the runner. */
import { ENTRY_FIELD, type Fact, keys, PARTITION_COUNT, partitionOf } from '@baton/contracts'
import type { ChainableCommander, Redis } from 'ioredis'
import { counter } from './metrics.ts'

/** Several XADDs of one tick travel in one pipeline. */
export interface FactSender {
  /** Resolves when Redis has the fact; rejects when it was not answered (it may be there nevertheless: facts are idempotent). */
  send(fact: Fact): Promise<void>
  /** Facts that are sent and not answered yet. */
  readonly pending: number
  /** Sends what is there and waits until all of it is answered. Sending afterwards rejects. */
  close(): Promise<void>
}

export interface FactSenderOptions {
  /** Called just before a pipeline goes out: commands added here ride along. Their results are not looked at. */
  extend?(pipeline: ChainableCommander): void
  /** Sends at the end of the running microtasks, not of the event-loop tick: before the answer to whoever caused the fact, who waits for neither. */
  atOnce?: boolean
}

interface Waiting {
  facts: Fact[]
  settle: { resolve(): void; reject(error: Error): void }[]
}

const factsSent = counter('baton_facts_sent_total', 'Facts that Redis has taken')
const factsFailed = counter('baton_facts_failed_total', 'Facts that Redis did not answer')

/** Coalesces the facts of one event-loop tick: one XADD per partition, all in one pipeline. */
export function createFactSender(redis: Redis, options: FactSenderOptions = {}): FactSender {
  let partitions: (Waiting | undefined)[] = new Array(PARTITION_COUNT)
  let scheduled = false
  let closed = false
  let pending = 0
  let drained: (() => void) | undefined

  const answer = (batch: Waiting, error: Error | null) => {
    pending -= batch.facts.length
    ;(error ? factsFailed : factsSent).inc(batch.facts.length)
    for (const { resolve, reject } of batch.settle) {
      if (error) reject(error)
      else resolve()
    }
    if (pending === 0) drained?.()
  }

  const flush = () => {
    scheduled = false
    const batches = partitions
    partitions = new Array(PARTITION_COUNT)
    const pipeline = redis.pipeline()
    const sent: Waiting[] = []
    batches.forEach((batch, partition) => {
      if (!batch) return
      sent.push(batch)
      pipeline.xadd(keys.facts(partition), '*', ENTRY_FIELD, JSON.stringify(batch.facts))
    })
    options.extend?.(pipeline)
    pipeline.exec().then(
      (results) => {
        for (const [index, batch] of sent.entries()) answer(batch, results?.[index] ? results[index][0] : new Error('no answer'))
      },
      (error: Error) => {
        for (const batch of sent) answer(batch, error)
      },
    )
  }

  return {
    send(fact) {
      if (closed) return Promise.reject(new Error('the fact sender is closed'))
      const partition = partitionOf(fact.runId)
      const batch = partitions[partition] ?? { facts: [], settle: [] }
      partitions[partition] = batch
      batch.facts.push(fact)
      pending++
      if (!scheduled) {
        scheduled = true
        if (options.atOnce) queueMicrotask(flush)
        else setImmediate(flush)
      }
      return new Promise((resolve, reject) => batch.settle.push({ resolve, reject }))
    },
    get pending() {
      return pending
    },
    async close() {
      closed = true
      if (pending === 0) return
      await new Promise<void>((resolve) => {
        drained = resolve
      })
    },
  }
}
