/** What must hold when everything has come to rest. */
import { idOf, isTerminal, type Json, parseDuration } from '@baton/contracts'
import type { WorkerWorld } from './calls-worker.ts'
import type { Around } from './judge-beyond.ts'
import { judgeRun } from './model.ts'
import type { StartedRun } from './people.ts'
import type { StepHistory } from './run-history.ts'

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

/** It waits for a person, an event, a slot or the end of another such run alone, and says so. */
function isLeftAlone(world: WorkerWorld, runId: string): boolean {
  const { tables, checker } = world
  if (isHeldBack(world, runId)) return true
  if (tables.runs.get(runId)!.status !== 'waiting') return false
  const steps = [...checker.historyOf(runId).steps.values()].filter(({ status }) => status === 'waiting' || status === 'retrying')
  const isOpen = ({ waited }: StepHistory) => !isTerminal(tables.runs.get(waited!.slice(4))!.status)
  const isPatient = (step: StepHistory) => {
    if (step.dueAt !== undefined) return false
    return step.waitsFor === 'approval' || step.waitsFor === 'event' || (step.waitsFor === 'run' && isOpen(step))
  }
  return steps.length > 0 && steps.every(isPatient)
}

/** All slots of its key are held, by runs that are open. */
function isHeldBack({ tables }: WorkerWorld, runId: string): boolean {
  const own = tables.slots.get(runId)
  if (!own || own.held) return false
  const held = [...tables.slots.values()].filter((row) => row.key === own.key && row.workflow === own.workflow && row.held)
  return held.length >= own.slots && held.every((row) => !isTerminal(tables.runs.get(row.runId)!.status))
}

/** Looks at all that is left, and lets the model judge each run. */
export function checkEnd(world: WorkerWorld, { runs }: Rest): void {
  const { tables, checker } = world
  for (const timer of tables.timers.values()) {
    if (isTerminal(tables.runs.get(timer.runId)!.status))
      checker.fail(`run ${timer.runId}: the timer ${timer.timer} of ${timer.path} is left`)
  }
  for (const approval of tables.approvals.values()) checkApproval(world, approval)
  for (const { runId } of tables.slots.values()) {
    if (isTerminal(tables.runs.get(runId)!.status)) checker.fail(`run ${runId} has ended, and has its slot`)
  }
  checkWaiters(world)
  checkStarted(world)
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

/** Whoever waits for an event has its row, and nobody else. */
function checkWaiters({ tables, checker }: WorkerWorld): void {
  for (const { runId, path } of tables.waiters.values()) {
    const step = checker.historyOf(runId).steps.get(path)
    if (step?.status !== 'waiting' || step.waitsFor !== 'event') checker.fail(`run ${runId}: the waiter of ${path} is left`)
  }
  for (const { runId, steps } of checker.histories.values()) {
    for (const { path, status, waitsFor } of steps.values()) {
      const isWaiting = status === 'waiting' && waitsFor === 'event'
      if (isWaiting && !tables.waiters.has(`${runId} ${path}`))
        checker.fail(`run ${runId}: ${path} waits for an event, which nobody tells it`)
    }
  }
}

/** Each child run and each event of a run is one that the run says it has started, or told. */
function checkStarted({ tables, checker }: WorkerWorld): void {
  for (const { header } of tables.runs.values()) {
    if (!header.parent) continue
    const { events } = checker.historyOf(header.parent.runId)
    const starts = events.filter(({ type, data }) => type === 'step.scheduled' && !data.copied && data.run === idOf('run', header.runId))
    if (starts.length !== 1) checker.fail(`run ${header.runId} was started by ${starts.length} steps`)
  }
  for (const { source, id } of tables.events) {
    const [, run] = /^\/runs\/run_(.+)$/.exec(source) ?? []
    const [, ended] = /^[^/]+\/(.+)$/.exec(id) ?? []
    if (run && checker.historyOf(run).ended.get(ended!) !== 'succeeded') checker.fail(`run ${run} has told ${id}, and does not say so`)
  }
}

function judge(world: WorkerWorld, { runId, definition, n, source }: StartedRun): string | undefined {
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
    around: aroundOf(world, run.header.createdAt, source),
  })
}

function aroundOf({ tables, checker }: WorkerWorld, createdAt: number, source: Around['source']): Around {
  const told = [...checker.inbox.values()].map(({ row }) => row)
  return {
    events: tables.events,
    createdAt,
    historyOf: (id) => checker.histories.get(id)!,
    parentOf: (id) => tables.runs.get(id)?.header.parent,
    isCancelledBy: (id, by) => told.some(({ runId, fact }) => runId === id && fact.kind === 'cancel' && fact.by === by),
    source,
  }
}

/** The value itself, with what is stored apart put in its place. */
function unpack(blobs: ReadonlyMap<string, string>, value: Json): Json {
  if (typeof value !== 'object' || value === null) return value
  if ('$blob' in value) return unpack(blobs, JSON.parse(blobs.get(String(value.$blob))!) as Json)
  if (Array.isArray(value)) return value.map((item) => unpack(blobs, item))
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpack(blobs, item!)]))
}
