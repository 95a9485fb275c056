/** A semaphore with a queue: each call takes one slot, whatever pack it came in. */
import type { HttpCall } from '@baton/contracts'
import type { StreamEntry } from '@baton/runtime'

export interface Slots<T> {
  add(calls: readonly T[]): void
  /** Slots that nobody runs in or waits for. */
  free(): number
  running(): number
  waiting(): number
  /** Entries that the next read may ask of each stream: as many calls as there are free slots, by the packs and streams seen last. */
  readCount(): number
  observeRead(entries: readonly StreamEntry<HttpCall[]>[], calls: number): void
  /** Resolves when a slot is free. */
  room(signal: AbortSignal): Promise<void>
  /** Takes away all that wait. */
  drain(): T[]
  /** Resolves when nothing runs, or after `ms`. */
  idle(ms: number): Promise<void>
}

/** `run` must not reject. */
export function createSlots<T>(max: number, run: (call: T) => Promise<void>): Slots<T> {
  let queue: T[] = []
  let head = 0
  let running = 0
  /** Readers that wait for room: one, or one for each lane of a cluster. */
  let wakeReaders: (() => void)[] = []
  let wakeStopper: (() => void) | undefined
  /** Calls that a read of COUNT 1 brings: pack size × busy streams, smoothed. */
  let callsPerCount = 1
  let countAsked = 1

  const waiting = () => queue.length - head
  const free = () => max - running - waiting()

  const next = () => {
    while (running < max && head < queue.length) {
      const call = queue[head++]!
      if (head === queue.length) {
        queue = []
        head = 0
      }
      running++
      void run(call).finally(done)
    }
    if (wakeReaders.length > 0 && free() > 0) {
      const waiters = wakeReaders
      wakeReaders = []
      for (const wake of waiters) wake()
    }
  }

  const done = () => {
    running--
    next()
    if (running === 0) wakeStopper?.()
  }

  return {
    add(calls) {
      for (const call of calls) queue.push(call)
      next()
    },
    free,
    running: () => running,
    waiting,
    readCount() {
      countAsked = Math.max(1, Math.floor(free() / callsPerCount))
      return countAsked
    },
    observeRead(entries, calls) {
      const streams = new Set(entries.map(({ stream }) => stream)).size
      const packs = calls / entries.length
      callsPerCount = Math.max(1, 0.7 * callsPerCount + 0.3 * packs * streams)
    },
    async room(signal) {
      if (free() > 0 || signal.aborted) return
      await new Promise<void>((resolve) => {
        const wake = () => {
          signal.removeEventListener('abort', wake)
          resolve()
        }
        wakeReaders.push(wake)
        signal.addEventListener('abort', wake, { once: true })
      })
    },
    drain() {
      const left = queue.slice(head)
      queue = []
      head = 0
      return left
    },
    async idle(ms) {
      if (running === 0) return
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms)
        wakeStopper = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      wakeStopper = undefined
    },
  }
}
