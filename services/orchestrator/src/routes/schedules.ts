/** Schedules: what starts runs by the clock. */
import { type Json, listOf, Schedule, ScheduleBody } from '@baton/contracts'
import { problem } from '@baton/runtime'
import {
  clock,
  deleteSchedule,
  getSchedule,
  listSchedules,
  lockSchedule,
  putSchedule,
  type ScheduleRow,
  type Sql,
  withTransaction,
} from '@baton/store'
import type { FastifyInstance } from 'fastify'
import type { Deps } from '../app.ts'
import { PageQuery } from '../bodies.ts'
import type { Caller } from '../caller.ts'
import { CronInvalid, type Slots, slotsOf } from '../cron-slots.ts'
import { draftSlot, type ScheduleSettings } from '../fire-schedules.ts'
import { explainDraft, refuseContent } from '../refuse-trigger.ts'
import { addRoute, invalidRequest } from '../route.ts'
import { scheduleOf } from '../show-trigger.ts'

const tag = 'schedules'
const DESCRIPTION =
  'The input is checked against the schema of the workflow now, and again at each slot. Runs carry the labels `baton.schedule` and `baton.slot`. ' +
  'A schedule whose pattern and zone stay the same goes on with the slot that it is at.'

function findSchedule(sql: Sql) {
  return async ({ caller, params }: { caller: Caller; params: { name: string } }) => {
    const found = await getSchedule(sql, caller.namespace, params.name)
    if (!found) throw problem('BTN_SCHEDULE_NOT_FOUND', `no schedule ${params.name.slice(0, 100)}`)
    return found
  }
}

/** Reading schedules, and deleting one. */
export function scheduleRoutes(app: FastifyInstance, { sql }: Deps): void {
  const find = findSchedule(sql)

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/schedules',
    tag,
    summary: 'List schedules, newest first',
    query: PageQuery,
    answers: { 200: listOf(Schedule) },
    async handle({ caller, query }) {
      const { items, nextCursor } = await listSchedules(sql, caller.namespace, query)
      return { items: items.map(scheduleOf), nextCursor }
    },
  })

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/schedules/:name',
    tag,
    summary: 'A schedule with its next slot and its last',
    answers: { 200: Schedule },
    find,
    handle: ({ found }) => scheduleOf(found),
  })

  addRoute(app, {
    method: 'DELETE',
    url: '/api/v1/schedules/:name',
    tag,
    summary: 'Delete a schedule; its runs go on',
    answers: { 204: null },
    find,
    async handle({ caller, found, reply }) {
      await deleteSchedule(sql, caller.namespace, found.name)
      return reply.code(204).send()
    },
  })
}

/** PUT /schedules/{name}. */
export function scheduleChangeRoutes(app: FastifyInstance, { sql, settings, draft, timeKeeper }: Deps): void {
  addRoute(app, {
    method: 'PUT',
    url: '/api/v1/schedules/:name',
    tag,
    summary: 'Save a schedule',
    description: DESCRIPTION,
    body: ScheduleBody,
    answers: { 200: Schedule, 201: Schedule },
    problems: [400, 409, 413, 415],
    async handle({ caller, params: { name }, body, reply }) {
      refuseContent(name, body, settings.BATON_JSON_DEPTH_MAX)
      const { workflow, enabled, ...kept } = body
      const slots = readSlots(kept)
      const now = await clock(sql)
      const next = slots.next(now)
      if (next === null) throw invalidRequest([{ pointer: '/cron', message: 'no such moment will ever come' }])
      const row = { namespace: caller.namespace, name, workflow, enabled, settings: kept as unknown as Json, createdBy: caller.id }
      await draftSlot(draft, row, kept, next).catch((error: unknown) => {
        throw explainDraft(error, kept)
      })
      const saved = await withTransaction(sql, async (tx) => {
        const known = await lockSchedule(tx, caller.namespace, name)
        return putSchedule(tx, { ...row, nextAt: enabled ? next : null, keepSlot: enabled && keepsSlot(known, kept) })
      })
      timeKeeper.look()
      reply.code(saved.created ? 201 : 200)
      return scheduleOf(saved)
    },
  })
}

function readSlots({ cron, timezone }: ScheduleSettings): Slots {
  try {
    return slotsOf(cron, timezone)
  } catch (error) {
    if (error instanceof CronInvalid) throw invalidRequest([{ pointer: `/${error.field}`, message: error.message }])
    throw error
  }
}

/** What changes nothing about its slots must not make a schedule miss one that is due. */
function keepsSlot(known: ScheduleRow | undefined, { cron, timezone }: ScheduleSettings): boolean {
  if (known?.enabled !== true || known.nextAt === null) return false
  const before = known.settings as unknown as ScheduleSettings
  return before.cron === cron && before.timezone === timezone
}
