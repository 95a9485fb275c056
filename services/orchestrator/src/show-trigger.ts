/** Schedules and triggers as the API shows them. */
import { idOf, type Schedule, type Trigger } from '@baton/contracts'
import type { ScheduleRow, TriggerRow } from '@baton/store'
import type { ScheduleSettings } from './fire-schedules.ts'
import { timeOf } from './public-shapes.ts'

type Row = ScheduleRow | TriggerRow

function lastErrorOf({ lastError, lastErrorAt }: Row): { message: string; at: string } | null {
  return lastError === null || lastErrorAt === null ? null : { message: lastError, at: timeOf(lastErrorAt) }
}

/** A schedule with its slots. */
export function scheduleOf(row: ScheduleRow): Schedule {
  const { input = {}, ...settings } = row.settings as unknown as ScheduleSettings
  return {
    name: row.name,
    workflow: row.workflow,
    ...settings,
    input,
    enabled: row.enabled,
    nextAt: row.nextAt === null ? null : timeOf(row.nextAt),
    lastAt: row.lastAt === null ? null : timeOf(row.lastAt),
    lastRun: row.lastRun === null ? null : idOf('run', row.lastRun),
    lastError: lastErrorOf(row),
    createdAt: timeOf(row.createdAt),
    updatedAt: timeOf(row.updatedAt),
  }
}

/** A trigger; the token of a webhook is not among it. */
export function triggerOf(row: TriggerRow): Trigger {
  const own = row.type === 'event' ? { type: row.type, event: row.eventType! } : { type: row.type }
  return {
    ...own,
    name: row.name,
    workflow: row.workflow,
    ...(row.settings as object),
    enabled: row.enabled,
    lastError: lastErrorOf(row),
    createdAt: timeOf(row.createdAt),
    updatedAt: timeOf(row.updatedAt),
  } as Trigger
}
