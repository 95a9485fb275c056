/** A call on a task: what it may carry, the move itself, and the wake-up of the run that waits for it. */
import { createHash } from 'node:crypto'
import { type BlobRef, isBlobRef, type Json, type Task } from '@baton/contracts'
import { problem } from '@baton/runtime'
import {
  claimNext,
  findLiveKey,
  moveTask,
  putBlobs,
  refusalOf,
  type Sql,
  type TaskCall,
  type TaskCaller,
  type TaskRefusal,
  type TaskRow,
  type TaskSeen,
} from '@baton/store'
import { ADMIN } from './access.ts'
import type { Deps } from './app.ts'
import type { Caller } from './caller.ts'
import { isDeeperThan } from './read-input.ts'
import { invalidRequest } from './route.ts'
import { WORKERS } from './route-roles.ts'
import { refusedTask, wholeTaskOf } from './show-task.ts'

/** Who may do anything may also take what was handed to somebody else. */
const TAKES_ANY: readonly string[] = ['admin', 'operator']

/** What a task is after the calls that end it. */
const ENDED_BY: Partial<Record<TaskCall['call'], TaskRow['status']>> = { complete: 'completed', fail: 'failed' }

function callerOf({ id, name, role }: Caller): TaskCaller {
  return { id, name, mayTakeAny: TAKES_ANY.includes(role) }
}

/** Throws what can be told before the body is read; the transaction of the call judges again. */
export function foreseeTask({ metrics }: Pick<Deps, 'metrics'>, task: TaskSeen, caller: Caller, call: TaskCall['call']): void {
  const refused = refusalOf(task, callerOf(caller), call)
  // The same end again is let through: the body tells.
  const isAgain = refused === 'closed' && task.status === ENDED_BY[call] && task.holder === caller.id
  if (refused && !isAgain) refuse(metrics, refused, task, caller, call)
}

/** Does it, and wakes the run. */
export async function callTask(deps: Deps, caller: Caller, found: TaskSeen, asked: TaskCall, token?: number): Promise<Task> {
  const { sql, metrics } = deps
  const move = await moveTask(sql, { namespace: caller.namespace, id: found.id, caller: callerOf(caller), asked, token })
  if (!move) throw problem('BTN_TASK_NOT_FOUND', 'the task is gone')
  if ('refused' in move) refuse(metrics, move.refused, move.task, caller, asked.call)
  return settle(deps, move, asked.call)
}

/** Claims the next task for a worker with these capabilities; undefined when there is none. */
export async function callNextTask(deps: Deps, caller: Caller, capabilities: readonly string[]): Promise<Task | undefined> {
  const move = await claimNext(deps.sql, caller.namespace, callerOf(caller), capabilities)
  if (move) return settle(deps, move, 'claim')
  deps.metrics.taskCalls.inc({ call: 'claim', outcome: 'none' })
  return undefined
}

function refuse(metrics: Deps['metrics'], refused: TaskRefusal, task: TaskSeen, caller: Caller, call: TaskCall['call']): never {
  metrics.taskCalls.inc({ call, outcome: refused })
  throw refusedTask(refused, task, caller)
}

function settle(
  { sql, facts, metrics }: Deps,
  { task, isTold }: { task: TaskRow; isTold: boolean },
  call: TaskCall['call'],
): Promise<Task> {
  metrics.taskCalls.inc({ call, outcome: isTold || !ENDED_BY[call] ? 'done' : 'repeated' })
  // A wake-up only: what was told stands in Postgres.
  if (isTold) facts.send({ kind: 'inbox', runId: task.runId }).catch(() => {})
  return wholeTaskOf(sql, task)
}

/** The output of a task as it may be stored: a large one as a reference to a payload, which is stored first. Throws 413 and 422. */
export async function storeOutput({ sql, settings }: Deps, namespace: string, output: Json): Promise<Json | BlobRef> {
  refuseDeep(output, '/output', settings.BATON_JSON_DEPTH_MAX)
  const text = JSON.stringify(output)
  const bytes = Buffer.byteLength(text)
  const bytesMax = settings.BATON_STEP_OUTPUT_BYTES_MAX
  if (bytes > bytesMax) throw tooLarge('/output', bytes, bytesMax, 'BATON_STEP_OUTPUT_BYTES_MAX')
  // One that looks like a reference is stored itself, or it would be taken for what it names.
  if (bytes <= settings.BATON_INLINE_BYTES_MAX && !isBlobRef(output)) return output
  const $blob = `sha256:${createHash('sha256').update(text).digest('hex')}`
  await putBlobs(sql, namespace, new Map([[$blob, text]]))
  return { $blob, bytes }
}

/** What stands in the row and in events as it is. Throws 413 and 422. */
export function readSmall({ settings }: Deps, value: Json | undefined, at: string): Json {
  refuseDeep(value, at, settings.BATON_JSON_DEPTH_MAX)
  const bytes = value === undefined ? 0 : Buffer.byteLength(JSON.stringify(value))
  if (bytes > settings.BATON_INLINE_BYTES_MAX) throw tooLarge(at, bytes, settings.BATON_INLINE_BYTES_MAX, 'BATON_INLINE_BYTES_MAX')
  return value ?? null
}

function refuseDeep(value: Json | undefined, pointer: string, depthMax: number): void {
  if (isDeeperThan(value, depthMax)) throw invalidRequest([{ pointer, message: `is nested deeper than ${depthMax} levels` }])
}

function tooLarge(pointer: string, bytes: number, bytesMax: number, setting: string): Error {
  const message = `takes ${bytes} bytes, more than ${bytesMax} (${setting})`
  return problem('BTN_TOO_LARGE', `${pointer} ${message}`, { errors: [{ pointer, message }] })
}

/** The key that a task is handed to, by its name or id. Throws 422. */
export async function readReceiver(sql: Sql, namespace: string, to: string): Promise<{ id: string; name: string }> {
  if (to === ADMIN.id || to === ADMIN.name) return ADMIN
  const key = await findLiveKey(sql, namespace, to)
  if (!key) throw invalidRequest([{ pointer: '/to', message: 'no API key of the namespace has this name or id' }])
  if (!WORKERS.includes(key.role)) throw invalidRequest([{ pointer: '/to', message: `role ${key.role} may not claim tasks` }])
  return { id: `key_${key.id}`, name: key.name }
}
