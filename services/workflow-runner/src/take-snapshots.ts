/**
 * Snapshots of long runs: one after `everyEvents`, and one more each time that the run has grown to twice as many, after its commit and beside the
 * hot path. At even distances the work would grow with the square of a run's length. Losing one, or dying before it is written, costs
 * nothing but the time to fold more events.
 */
import { isTerminal } from '@baton/contracts'
import { type RunState, SNAPSHOT_EVENTS, snapshotOf } from '@baton/engine'

export interface SnapshotTaker {
  /** A run was committed: it was at `fromSeq` before. */
  committed(state: RunState, fromSeq: number): void
  /** Resolves when nothing is being written any more. */
  settled(): Promise<void>
}

/** Above it a snapshot costs more than it spares. */
const TEXT_MAX = 64 * 1024 * 1024

/** Takes snapshots into a store; `put` (of JSON text) and `remove` may fail. */
export function createSnapshotTaker(options: {
  put(namespace: string, runId: string, seq: number, state: string): Promise<void>
  remove(runId: string): Promise<void>
  onTaken(): void
  onFailed(error: unknown): void
  everyEvents?: number
}): SnapshotTaker {
  const { put, remove, onTaken, onFailed, everyEvents = SNAPSHOT_EVENTS } = options
  const writing = new Set<string>()
  let last: Promise<unknown> = Promise.resolve()

  function write(runId: string, action: () => Promise<void>): void {
    writing.add(runId)
    // One after the other: they are rare, and large.
    last = last
      .then(action)
      .catch(onFailed)
      .finally(() => writing.delete(runId))
  }

  return {
    committed(state, fromSeq) {
      if (state.seq < everyEvents) return
      const { runId, namespace } = state.header
      if (isTerminal(state.status)) return void (fromSeq < state.seq && write(runId, () => remove(runId)))
      if (fromSeq >= lastDue(state.seq, everyEvents) || writing.has(runId)) return
      const { seq } = state
      // As text at once: the run moves on.
      const text = textOf(state)
      if (text !== undefined) write(runId, () => put(namespace, runId, seq, text).then(onTaken))
    },
    async settled() {
      await last
    },
  }
}

/** The seq at or below this one at which a snapshot is due: `everyEvents` × a power of two. */
function lastDue(seq: number, everyEvents: number): number {
  return everyEvents * 2 ** Math.floor(Math.log2(seq / everyEvents))
}

function textOf(state: RunState): string | undefined {
  try {
    const text = JSON.stringify(snapshotOf(state))
    return text.length > TEXT_MAX ? undefined : text
  } catch {
    return undefined // longer than any string may be
  }
}
