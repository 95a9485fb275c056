/**
 * Spans on their way out: gathered, sent in batches one after the other, never waited for. The queue is bounded; what does not fit, and what the
 * collector did not take, is dropped and counted.
 */

export interface SpanQueueOptions<Span> {
  /** Rejects when the collector did not take them. */
  send(spans: Span[]): Promise<void>
  queueMax: number
  batchMax: number
  /** How long a span waits for others. */
  delayMs: number
  onSent(count: number): void
  onDropped(count: number, reason: DropReason, error?: unknown): void
}

/** full: no room in the queue. refused: not taken by the collector. stopped: the service ended before. */
export type DropReason = 'full' | 'refused' | 'stopped'

export interface SpanQueue<Span> {
  push(span: Span): void
  readonly size: number
  /** Sends what waits, takes no more; resolves when it is out, or after `graceMs`. */
  close(graceMs: number): Promise<void>
}

/** Makes an empty queue. */
export function createSpanQueue<Span>(options: SpanQueueOptions<Span>): SpanQueue<Span> {
  const { queueMax, batchMax, delayMs, onSent, onDropped } = options
  let waiting: Span[] = []
  let sending: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  let closed = false

  async function sendAll(): Promise<void> {
    do {
      const batch = waiting.slice(0, batchMax)
      waiting = waiting.slice(batchMax)
      try {
        await options.send(batch)
        onSent(batch.length)
      } catch (error) {
        onDropped(batch.length, 'refused', error)
      }
    } while (waiting.length >= (closed ? 1 : batchMax))
  }

  function begin(): void {
    clearTimeout(timer)
    timer = undefined
    if (sending || waiting.length === 0) return
    sending = sendAll().finally(() => {
      sending = undefined
      expect()
    })
  }

  /** A full batch goes at once, the rest after a while. */
  function expect(): void {
    if (closed || waiting.length === 0) return
    if (waiting.length >= batchMax) return begin()
    timer ??= setTimeout(begin, delayMs).unref()
  }

  return {
    push(span) {
      if (closed) return onDropped(1, 'stopped')
      if (waiting.length >= queueMax) return onDropped(1, 'full')
      waiting.push(span)
      if (waiting.length >= batchMax) begin()
      else expect()
    },
    get size() {
      return waiting.length
    },
    async close(graceMs) {
      closed = true
      begin()
      const done = (sending ?? Promise.resolve()).then(() => (waiting.length > 0 ? sendAll() : undefined))
      const late = Promise.withResolvers<void>()
      const giveUp = setTimeout(late.resolve, graceMs)
      await Promise.race([done, late.promise])
      clearTimeout(giveUp)
      if (waiting.length > 0) onDropped(waiting.length, 'stopped')
      waiting = []
    },
  }
}
