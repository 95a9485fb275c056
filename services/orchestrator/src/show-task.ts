/** Tasks as the API shows them, and what a refusal on one says. */
import { idOf, isBlobRef, type Json, type Task } from '@baton/contracts'
import { problem } from '@baton/runtime'
import { getBlobs, type Sql, type TaskRefusal, type TaskRow, type TaskSeen } from '@baton/store'
import type { Caller } from './caller.ts'
import { timeOf } from './public-shapes.ts'

const timeOrNull = (ms: number | null) => (ms === null ? null : timeOf(ms))

/** A task; payloads over the inline limit show as references. */
export function taskOf(row: TaskRow): Task {
  const { result, progress, handoff } = row
  const isHeld = row.status !== 'open'
  return {
    id: idOf('task', row.id),
    run: idOf('run', row.runId),
    step: row.path,
    ...{ workflow: row.workflow, generation: row.generation, attempt: row.attempt, status: row.status },
    ...{ capabilities: row.capabilities, payload: row.payload as Json, priority: row.priority, leaseMs: row.leaseMs },
    claimedBy: isHeld ? row.holderName : null,
    claimedAt: timeOrNull(row.claimedAt),
    leaseUntil: timeOrNull(row.leaseUntil),
    fencingToken: row.claims === 0 ? null : row.claims,
    reservedFor: row.reservedName,
    progress: progress && { ...progress, at: timeOf(progress.at) },
    handoff: handoff && { ...handoff, at: timeOf(handoff.at) },
    leaseExpiries: row.leaseExpiries,
    output: result && 'output' in result ? (result.output as Json) : null,
    error: result && 'error' in result ? result.error : null,
    createdAt: timeOf(row.createdAt),
    endedAt: timeOrNull(row.closedAt),
  }
}

/** The same with its payload whole, for whoever is to work on it. */
export async function wholeTaskOf(sql: Sql, row: TaskRow): Promise<Task> {
  const task = taskOf(row)
  const { payload } = row
  if (!isBlobRef(payload)) return task
  const blobs = await getBlobs(sql, row.namespace, [payload.$blob])
  return blobs.has(payload.$blob) ? { ...task, payload: blobs.get(payload.$blob)! } : task
}

/** The problem that a refused call is answered with. */
export function refusedTask(refused: TaskRefusal, task: TaskSeen, caller: Caller): Error {
  const by = task.holderName ?? 'nobody'
  switch (refused) {
    case 'closed':
      return problem('BTN_TASK_STATE', `the task is ${task.status}${task.status === 'cancelled' ? '' : ` by ${by}`}`)
    case 'held':
      return problem('BTN_TASK_HELD', `the task is claimed by ${by} until ${timeOf(task.leaseUntil!)}`)
    case 'not-claimed':
      return problem('BTN_TASK_STATE', 'the task is open: claim it first')
    case 'reserved':
      return problem('BTN_TASK_HELD', `the task is open, and was handed to ${task.reservedName}: ${caller.name} cannot claim it`)
    case 'paused':
      return problem('BTN_RUN_STATE', 'the run of the task is paused: nothing new starts until it is resumed')
    case 'claim-lost': {
      const isLater = task.leaseUntil !== null && task.leaseUntil > task.readAt
      const why = isLater
        ? `claim ${task.claims} has taken its place`
        : `its lease ran out, and the task is ${task.status === 'open' ? 'open' : 'free'} again`
      return problem('BTN_TASK_CLAIM_LOST', `your claim is over: ${why}`)
    }
  }
}
