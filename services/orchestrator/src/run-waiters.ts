/**
 * Requests that wait for a run to end (`?wait=30s`). They hold no connection to Postgres and poll nothing: one subscription tells of
 * ended runs, and one query a second looks after all of them together, for messages that Redis lost.
 */
export type WaitEnd = 'ended' | 'late' | 'left'

export interface Waiting {
  /** Resolves once: the run ended, the time is up (or the service stops), or the client went away. */
  done: Promise<WaitEnd>
  /** Ends the wait early; harmless when it is over. */
  leave(): void
}

export interface RunWaiters {
  /** Starts to wait for a run (bare UUID). Begin before its state is read, or its end may fall between. Undefined = no place is free. */
  wait(runId: string, ms: number): Waiting | undefined
  /** Runs that ended, as told by Redis. */
  tell(runIds: readonly string[]): void
  size(): number
  /** Ends every wait as `late`, and takes no more. */
  close(): void
}

export interface RunWaitersOptions {
  /** Which of these runs have ended; asked at most once each `checkMs`. */
  findEnded(runIds: readonly string[]): Promise<readonly string[]>
  waitersMax: number
  checkMs: number
  /** Somebody could not wait. */
  onRefused(): void
  onError(error: unknown): void
}

/** Makes the one register of waiting requests of this process. */
export function createRunWaiters({ findEnded, waitersMax, checkMs, onRefused, onError }: RunWaitersOptions): RunWaiters {
  const byRun = new Map<string, Set<(end: WaitEnd) => void>>()
  let size = 0
  let closed = false
  let timer: NodeJS.Timeout | undefined

  function tell(runIds: readonly string[]): void {
    for (const runId of runIds) for (const end of byRun.get(runId) ?? []) end('ended')
  }

  async function check(): Promise<void> {
    await findEnded([...byRun.keys()]).then(tell, onError)
    timer = undefined
    if (size > 0 && !closed) watch()
  }

  function watch(): void {
    timer ??= setTimeout(check, checkMs).unref()
  }

  function wait(runId: string, ms: number): Waiting | undefined {
    if (size >= waitersMax || closed) {
      onRefused()
      return undefined
    }
    const { promise, resolve } = Promise.withResolvers<WaitEnd>()
    const ends = byRun.get(runId) ?? new Set()
    const end = (how: WaitEnd) => {
      if (!ends.delete(end)) return
      size -= 1
      if (ends.size === 0) byRun.delete(runId)
      clearTimeout(deadline)
      resolve(how)
    }
    const deadline = setTimeout(end, ms, 'late')
    byRun.set(runId, ends.add(end))
    size += 1
    watch()
    return { done: promise, leave: () => end('left') }
  }

  function close(): void {
    closed = true
    clearTimeout(timer)
    for (const end of [...byRun.values()].flatMap((ends) => [...ends])) end('late')
  }

  return { wait, tell, size: () => size, close }
}
