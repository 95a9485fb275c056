/**
 * Room for the answers that are under way: a bound on their bytes, all calls together, so that a dozen large ones at once do not end the
 * process. A call takes room as its answer grows and gives it back when its outcome is made; who finds none waits, in the order of asking.
 */

/** What one call takes. */
export interface AnswerShare {
  /** Asks that the answer may be so many bytes in all. Undefined: it may. Else it waits until it may. */
  grow(to: number): Promise<void> | undefined
  /** Gives everything back, and waits for nothing any more. */
  close(): void
}

export interface AnswerRoom {
  open(): AnswerShare
  /** Bytes that are taken now. */
  taken(): number
  /** Calls whose answers wait for room. */
  waiting(): number
}

/** Below this an answer is not counted: nearly all are, and they could not fill a heap. */
export const UNCOUNTED_BYTES = 64 * 1024

interface Holder {
  bytes: number
  /** What it waits for. */
  wants: number | undefined
  wake: () => void
  closed: boolean
}

/**
 * Room for `bytesMax`. When all who hold room wait for more, nobody would ever give back: the first in the queue is then let through, whatever
 * it takes to its end, and it alone. So an answer larger than all of the room comes through too.
 */
export function createAnswerRoom(bytesMax: number): AnswerRoom {
  const holders = new Set<Holder>()
  const queue: Holder[] = []
  let taken = 0
  /** Who is let through beyond the bound. */
  let beyond: Holder | undefined

  const take = (holder: Holder, to: number) => {
    taken += to - holder.bytes
    holder.bytes = to
    holder.wants = undefined
    holders.add(holder)
  }
  const admit = () => {
    for (let first = queue[0]; first !== undefined; first = queue[0]) {
      const fits = taken + first.wants! - first.bytes <= bytesMax
      if (!fits && [...holders].some(({ wants }) => wants === undefined)) return // who is beyond waits for nothing
      if (!fits) beyond = first
      queue.shift()
      take(first, first.wants!)
      first.wake()
    }
  }

  return {
    taken: () => taken,
    waiting: () => queue.length,
    open() {
      const holder: Holder = { bytes: 0, wants: undefined, wake: () => {}, closed: false }
      return {
        grow(to) {
          if (to <= Math.max(holder.bytes, UNCOUNTED_BYTES)) return undefined
          // Its call is over, and nobody would give it back.
          if (holder.closed) return new Promise(() => {})
          if (holder === beyond || (queue.length === 0 && taken + to - holder.bytes <= bytesMax)) {
            take(holder, to)
            return undefined
          }
          const { promise, resolve } = Promise.withResolvers<void>()
          holder.wants = to
          holder.wake = resolve
          queue.push(holder)
          admit()
          return holder.wants === undefined ? undefined : promise
        },
        close() {
          holder.closed = true
          const at = queue.indexOf(holder)
          if (at >= 0) queue.splice(at, 1)
          holders.delete(holder)
          if (holder === beyond) beyond = undefined
          taken -= holder.bytes
          holder.bytes = 0
          holder.wants = undefined
          admit()
        },
      }
    },
  }
}
