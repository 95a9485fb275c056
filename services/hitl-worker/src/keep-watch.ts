/** What the queue may have lost: approvals that nobody was told of, and deadlines that nobody acted on. */
import type { Fact, Notification } from '@baton/contracts'
import type { Logger } from '@baton/runtime'
import type { NotifyMetrics } from './metrics.ts'

export interface WatchDeps {
  /** Pending approvals with `notify` that are unnotified for longer, oldest first. */
  unnotified(olderThanMs: number, limit: number): Promise<Notification[]>
  /** Pending approvals of open runs whose deadline has passed by more than this, by the clock of Postgres. */
  overdue(byMs: number, limit: number): Promise<{ approvalId: string; runId: string }[]>
  enqueue(jobs: Notification[]): Promise<void>
  send(fact: Fact): Promise<void>
  metrics: NotifyMetrics
  log: Logger
}

const LIMIT = 1_000

/** Queues again whoever was not told; a job that still waits or runs is not doubled. Returns how many were found. */
export async function requeueUnnotified(deps: WatchDeps, olderThanMs: number): Promise<number> {
  const found = await deps.unnotified(olderThanMs, LIMIT)
  if (found.length === 0) return 0
  await deps.enqueue(found)
  deps.metrics.requeued(found.length)
  deps.log.info({ count: found.length }, 'unnotified approvals queued again')
  return found.length
}

/** Counts approvals past their deadline and wakes their runs, so that a timer that nobody fired is looked at. Returns how many were found. */
export async function wakeOverdue(deps: WatchDeps, byMs: number): Promise<number> {
  const found = await deps.overdue(byMs, LIMIT)
  deps.metrics.overdue(found.length)
  if (found.length === 0) return 0
  deps.log.warn({ count: found.length, approvalId: found[0]!.approvalId, runId: found[0]!.runId }, 'approvals are past their deadline')
  const runs = [...new Set(found.map(({ runId }) => runId))]
  await Promise.all(runs.map((runId) => deps.send({ kind: 'sweep', runId, lost: [] })))
  return found.length
}

/** Runs a task each `everyMs`, one at a time; failures are logged and the next round tries again. */
export function repeat(task: () => Promise<unknown>, everyMs: number, log: Logger): { stop(): Promise<void> } {
  let running: Promise<unknown> = Promise.resolve()
  let busy = false
  const timer = setInterval(() => {
    if (busy) return
    busy = true
    running = task()
      .catch((error: unknown) => log.error({ err: error }, 'round failed'))
      .finally(() => {
        busy = false
      })
  }, everyMs)
  timer.unref()
  return {
    async stop() {
      clearInterval(timer)
      await running
    },
  }
}
