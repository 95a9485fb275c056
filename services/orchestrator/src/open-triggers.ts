/** What starts runs from outside, put together: it draws on the same starter, plans and limits as the API. */
import type { FactSender, Logger } from '@baton/runtime'
import { clock, readAgenda, type Sql } from '@baton/store'
import type { Settings } from './config.ts'
import { createResolve, inputLimitsOf, type Resolve } from './draft-runs.ts'
import { createDraftTriggeredRun, type DraftTriggeredRun } from './draft-triggered-runs.ts'
import { createFireStore, fireDue } from './fire-schedules.ts'
import { keepTime, type TimeKeeper } from './keep-time.ts'
import type { Metrics } from './metrics.ts'
import type { GetPlan } from './plan-cache.ts'
import type { RunStarter } from './start-runs.ts'
import { createEventTaker, type EventTaker } from './take-events.ts'

/** What routes of events, schedules, triggers and webhooks are given. */
export interface Triggers {
  resolve: Resolve
  draft: DraftTriggeredRun
  eventTaker: EventTaker
  timeKeeper: TimeKeeper
}

export interface TriggersOptions {
  settings: Settings
  sql: Sql
  facts: FactSender
  metrics: Metrics
  starter: RunStarter
  getPlan: GetPlan
  log: Logger
}

/** Opens them; schedules are watched from now on, until `timeKeeper.stop()`. */
export function openTriggers({ settings, sql, facts, metrics, starter, getPlan, log }: TriggersOptions): Triggers {
  const resolve = createResolve(sql)
  const draft = createDraftTriggeredRun({ resolve, getPlan, limits: inputLimitsOf(settings) })
  const eventTaker = createEventTaker({ sql, facts, metrics, starter, draft, groupEventsMax: settings.BATON_EVENTS_BATCH_MAX })
  const slotLimits = { lateMsMax: settings.BATON_SCHEDULE_LATE_MS_MAX, catchUpMax: settings.BATON_CATCH_UP_SLOTS_MAX }
  const store = createFireStore(sql)
  const timeKeeper = keepTime({
    clock: () => clock(sql),
    agenda: () => readAgenda(sql),
    fireDue: (since) => fireDue({ store, draft, starter, metrics, ...slotLimits }, since),
    fireUntriggered: () => eventTaker.fireUntriggered(),
    log,
  })
  return { resolve, draft, eventTaker, timeKeeper }
}
