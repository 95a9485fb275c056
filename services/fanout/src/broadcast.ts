/** Hands the live events of one topic to its subscribers: at once, or gathered for a few milliseconds for those that want batches. */
import { createDelivery, type Delivery, type EncodedEvent } from './encode-events.ts'

/** Whoever takes live events. `deliver` must not throw and must not wait: a client that cannot keep up is closed, not waited for. */
export interface Subscriber {
  readonly batch: boolean
  deliver(delivery: Delivery): void
}

/** The live subscribers of a topic. */
export interface Broadcast {
  readonly size: number
  /** From the next published event on. */
  add(subscriber: Subscriber): void
  remove(subscriber: Subscriber): void
  publish(events: readonly EncodedEvent[]): void
  /** Sends what was gathered for batches now. */
  flush(): void
}

/** A gathered batch is sent early when it grows over this. */
const BATCH_BYTES_MAX = 256 * 1024

/** Makes a topic's broadcast; `lingerMs` is how long events are gathered for batch subscribers. */
export function createBroadcast(topic: string, lingerMs: number): Broadcast {
  const singles = new Set<Subscriber>()
  const batches = new Set<Subscriber>()
  let gathered: EncodedEvent[] = []
  let gatheredBytes = 0
  let timer: NodeJS.Timeout | undefined

  function flush(): void {
    clearTimeout(timer)
    timer = undefined
    if (gathered.length === 0) return
    const delivery = createDelivery(topic, gathered)
    gathered = []
    gatheredBytes = 0
    for (const subscriber of batches) subscriber.deliver(delivery)
  }

  function gather(events: readonly EncodedEvent[]): void {
    for (const event of events) {
      gathered.push(event)
      gatheredBytes += event.bytes
      if (gatheredBytes >= BATCH_BYTES_MAX) flush()
    }
    if (gathered.length > 0) timer ??= setTimeout(flush, lingerMs)
  }

  return {
    get size() {
      return singles.size + batches.size
    },
    add(subscriber) {
      // What was gathered so far is older than this subscription: it goes to the others only.
      if (subscriber.batch) flush()
      ;(subscriber.batch ? batches : singles).add(subscriber)
    },
    remove(subscriber) {
      ;(subscriber.batch ? batches : singles).delete(subscriber)
      if (batches.size > 0) return
      clearTimeout(timer)
      timer = undefined
      gathered = []
      gatheredBytes = 0
    },
    publish(events) {
      if (singles.size > 0) {
        const delivery = createDelivery(topic, events)
        for (const subscriber of singles) subscriber.deliver(delivery)
      }
      if (batches.size > 0) gather(events)
    },
    flush,
  }
}
