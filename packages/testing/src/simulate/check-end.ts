/** What must hold when everything has come to rest. */
import { idOf, isTerminal, type Json, parseDuration } from '@baton/contracts'
import type { WorkerWorld } from './calls-worker.ts'
import { judgeRun } from './model.ts'
import type { StartedRun } from './people.ts'

export interface Rest {
  runs: readonly StartedRun[]
  /** Turns that nobody has answered. */
  turns(): number
}

/** True when nothing is left to do but what people do not do. */
export function isAtRest(world: WorkerWorld, { runs, turns }: Rest): boolean {
  if (world.tables.inbox.size + turns() > 0) return false
  for (const [name, { entries }] of world.server.streams.all) if (!name.startsWith('events:') && entries.length > 0) return false
  return runs.every(({ runId }) => {
    const run = world.tables.runs.get(runId)
    return run !== undefined && (isTerminal(run.status) || isLeftAlone(world, runId))
  })
}

/** It waits for a person alone, and says so. */
function isLeftAlone({ tables, checker }: WorkerWorld, runId: string): boolean {
  if (tables.runs.get(runId)!.status !== 'waiting') return false
  const steps = [...checker.historyOf(runId).steps.values()]
  const isAsked = steps.some(({ status, approvals, dueAt }) => status === 'waiting' && approvals.length > 0 && dueAt === undefined)
  return isAsked && steps.every(({ status, dueAt }) => status !== 'retrying' && !(status === 'waiting' && dueAt !== undefined))
}

/** Looks at all that is left, and lets the model judge each run. */
export function checkEnd(world: WorkerWorld, { runs }: Rest): void {
  const { tables, checker } = world
  for (const timer of tables.timers.values()) {
    if (isTerminal(tables.runs.get(timer.runId)!.status))
      checker.fail(`run ${timer.runId}: the timer ${timer.timer} of ${timer.path} is left`)
  }
  for (const approval of tables.approvals.values()) checkApproval(world, approval)
  for (const run of runs) {
    const wrong = judge(world, run)
    if (wrong) checker.fail(`run ${run.runId}: ${wrong}`)
  }
}

function checkApproval(
  { tables, checker }: WorkerWorld,
  { id, runId, path, status }: { id: string; runId: string; path: string; status: string },
) {
  const outcomes = checker.historyOf(runId).outcomes.get(idOf('approval', id)) ?? []
  const isOpen = status === 'pending'
  if (isOpen && isTerminal(tables.runs.get(runId)!.status)) checker.fail(`run ${runId} has ended, and the approval of ${path} is open`)
  if (outcomes.length !== (isOpen ? 0 : 1) || (!isOpen && outcomes[0] !== `approval.${status}`)) {
    checker.fail(`run ${runId}: the approval of ${path} is ${status}, and the run says ${outcomes.join() || 'nothing'}`)
  }
}

function judge(world: WorkerWorld, { runId, definition, n }: StartedRun): string | undefined {
  const { tables, checker, poisoned } = world
  const history = checker.historyOf(runId)
  const run = tables.runs.get(runId)!
  if (run.events.length !== history.events.length) return 'its events are not those that were committed'
  if (run.events.some((text, index) => text !== JSON.stringify(history.events[index]))) return 'an event has changed'
  if (history.terminal === 'failed' && poisoned.has(runId)) return undefined
  const limit = definition.timeout === undefined ? Number.POSITIVE_INFINITY : parseDuration(definition.timeout)!
  const reopenedAt = history.events.findLast(({ type }) => type === 'run.reopened')?.at
  return judgeRun({
    history,
    definition,
    n,
    approvalOf: (id) => tables.approvals.get(id.slice(4)),
    unpack: (value) => unpack(tables.blobs, value ?? null),
    timeoutPassed: checker.pgLatest() >= (reopenedAt ?? run.header.createdAt) + limit - 1,
  })
}

/** The value itself, with what is stored apart put in its place. */
function unpack(blobs: ReadonlyMap<string, string>, value: Json): Json {
  if (typeof value !== 'object' || value === null) return value
  if ('$blob' in value) return unpack(blobs, JSON.parse(blobs.get(String(value.$blob))!) as Json)
  if (Array.isArray(value)) return value.map((item) => unpack(blobs, item))
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpack(blobs, item!)]))
}
