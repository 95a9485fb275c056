/**
 * Fires what is due. The row of a schedule is claimed, its runs are stored and it moves on in one transaction, so each slot is fired once,
 * however many replicas try and whoever dies; the key of its slot makes it so a second time.
 */
import { type Json, type ScheduleBody, storable } from '@baton/contracts'
import { compileMapping } from '@baton/engine'
import { problem } from '@baton/runtime'
import { claimDue, type DueSchedule, moveSchedules, type ScheduleMove, type Sql, withTransaction } from '@baton/store'
import { slotsOf } from './cron-slots.ts'
import { type DraftTriggeredRun, refusalOf, storeTriggered } from './draft-triggered-runs.ts'
import type { Metrics } from './metrics.ts'
import { planSlots } from './plan-slots.ts'
import { timeOf } from './public-shapes.ts'
import type { RunStarter, RunToStart, StartedRun } from './start-runs.ts'

/** What a row of `schedules` keeps of its body. */
export type ScheduleSettings = Omit<ScheduleBody, 'workflow' | 'enabled'>

/** What one transaction does that fires schedules. */
export interface Firing {
  claimDue(limit: number, since: number): Promise<DueSchedule[]>
  storeRuns(runs: readonly RunToStart[]): Promise<StartedRun[]>
  move(moves: readonly ScheduleMove[]): Promise<void>
}

/** Postgres, as firing sees it: all that `act` does is there when it resolves, or none of it. */
export interface FireStore {
  transaction<T>(act: (tx: Firing) => Promise<T>): Promise<T>
}

/** On a real Postgres. */
export function createFireStore(sql: Sql): FireStore {
  return {
    transaction: (act) =>
      withTransaction(sql, (tx) =>
        act({
          claimDue: (limit, since) => claimDue(tx, limit, since),
          storeRuns: (runs) => storeTriggered(sql, tx, runs),
          move: (moves) => moveSchedules(tx, moves),
        }),
      ),
  }
}

export interface FireDeps {
  store: FireStore
  draft: DraftTriggeredRun
  starter: Pick<RunStarter, 'announce'>
  metrics: Pick<Metrics, 'slots' | 'slotsLate'>
  lateMsMax: number
  catchUpMax: number
}

/** Schedules that one transaction fires. */
const SCHEDULES_AT_ONCE = 100
/** Slots of one schedule that one transaction fires. */
const SLOTS_AT_ONCE = 200

/** The input of a run of this slot. Throws ExpressionError, or a problem when the mapping is none. */
export function inputOfSlot(name: string, input: Json | undefined, slot: number): Json {
  const { compiled, errors } = compileMapping(input ?? {}, ['schedule'], '/input')
  if (errors) throw problem('BTN_INVALID_REQUEST', `${errors[0]!.pointer}: ${errors[0]!.message}`, { errors })
  return compiled.render({ schedule: { name, slot: timeOf(slot) } })
}

/** Drafts the run of a slot. Throws what makes it impossible. */
export async function draftSlot(
  draft: DraftTriggeredRun,
  schedule: Pick<DueSchedule, 'namespace' | 'name' | 'workflow'>,
  settings: ScheduleSettings,
  slot: number,
) {
  const { namespace, name, workflow } = schedule
  const origin = {
    namespace,
    startedBy: `schedule:${name}`,
    workflow,
    version: settings.version,
    tag: settings.tag,
    priority: settings.priority,
    labels: { ...settings.labels, 'baton.schedule': name, 'baton.slot': timeOf(slot) },
    idempotencyKey: `schedule:${name}:${timeOf(slot)}`,
  }
  return draft(origin, inputOfSlot(name, settings.input, slot))
}

interface Fired {
  move: ScheduleMove
  runs: { run: RunToStart; slot: number }[]
  dropped: number
  refused: number
  now: number
}

/** Fires the schedules that are due, up to a hundred; gives how many there were. `since`: when this replica began to watch. */
export async function fireDue(deps: FireDeps, since: number): Promise<number> {
  const { store, starter, metrics } = deps
  const { fired, runs, started } = await store.transaction(async (tx) => {
    const due = await tx.claimDue(SCHEDULES_AT_ONCE, since)
    const all = await Promise.all(due.map((schedule) => fire(deps, schedule, since)))
    const wanted = all.flatMap((one) => one.runs.map(({ run }) => run))
    const created = await tx.storeRuns(wanted)
    const idOfRun = new Map(created.map(({ id }, index) => [wanted[index]!.id, id]))
    for (const { move } of all) if (move.last) move.last.run = idOfRun.get(move.last.run)!
    await tx.move(all.map(({ move }) => move))
    return { fired: all, runs: wanted, started: created }
  })
  starter.announce(runs, started)
  for (const { runs: ofOne, dropped, refused, now } of fired) {
    metrics.slots.inc({ outcome: 'started' }, ofOne.length)
    metrics.slots.inc({ outcome: 'missed' }, dropped)
    metrics.slots.inc({ outcome: 'refused' }, refused)
    for (const { slot } of ofOne) metrics.slotsLate.observe((now - slot) / 1_000)
  }
  return fired.length
}

async function fire(deps: FireDeps, schedule: DueSchedule, since: number): Promise<Fired> {
  const { namespace, name, nextAt, now } = schedule
  const settings = schedule.settings as unknown as ScheduleSettings
  const move: ScheduleMove = { namespace, name, nextAt: null, last: undefined, error: undefined }
  const fired: Fired = { move, runs: [], dropped: 0, refused: 0, now }
  const slots = slotsOf(settings.cron, settings.timezone)
  const limits = { lateMsMax: deps.lateMsMax, catchUpMax: deps.catchUpMax, fireMax: SLOTS_AT_ONCE }
  const plan = planSlots({ slots, catchUp: settings.catchUp, nextAt, now, since, ...limits })
  move.nextAt = plan.nextAt
  fired.dropped = plan.dropped
  // At once, so that all of them look for their workflow together.
  const drafts = await Promise.all(plan.fire.map((slot) => tryDraft(deps.draft, schedule, settings, slot)))
  for (const [index, slot] of plan.fire.entries()) {
    const { run, reason } = drafts[index]!
    if (run) {
      fired.runs.push({ run, slot })
      move.last = { at: slot, run: run.id }
    } else {
      fired.refused += 1
      move.error = storable(reason!) as string
    }
  }
  return fired
}

async function tryDraft(
  draft: DraftTriggeredRun,
  schedule: DueSchedule,
  settings: ScheduleSettings,
  slot: number,
): Promise<{ run?: RunToStart; reason?: string }> {
  try {
    return { run: await draftSlot(draft, schedule, settings, slot) }
  } catch (error) {
    const reason = refusalOf(error)
    if (reason === undefined) throw error
    return { reason }
  }
}
