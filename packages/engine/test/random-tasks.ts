/** Tasks in the world around one run: their rows, who works on them, and what must hold of them at any moment. */
import assert from 'node:assert/strict'
import type { EngineFact } from '@baton/engine'
import type { World } from './random-world.ts'

export type TaskFact = Extract<EngineFact, { kind: 'task-ended' | 'task-news' }>

export interface TaskRow {
  id: string
  path: string
  generation: number
  status: 'open' | 'ended' | 'cancelled'
}

/** Each task that is offered is waited for, and each that is waited for is offered, or was ended just now. */
export function checkTasks({ state, tasks, inbox, events }: World): void {
  const awaited = new Set([...state.waiting].flatMap(({ waitingFor }) => (waitingFor?.kind === 'task' ? [waitingFor.task] : [])))
  for (const { id, path, status } of tasks.values()) {
    const isOpen = status === 'open' || inbox.some((fact) => fact.kind === 'task-ended' && fact.task === id)
    assert.equal(awaited.has(`tsk_${id}`), isOpen, `the task of ${path} is ${status}`)
    const ends = events.filter(({ type, data }) => data.task === `tsk_${id}` && /^task\.(completed|failed|cancelled)$/.test(type))
    assert.equal(ends.length, isOpen ? 0 : 1, `the task of ${path} has one outcome`)
    if (!isOpen) assert.equal(ends[0]!.type === 'task.cancelled', status === 'cancelled', `the task of ${path} ended as its row says`)
  }
  for (const task of awaited) assert.ok(tasks.has(task.slice(4)), `${task} is offered`)
}

/** Who holds the task ends it; the row is closed and the inbox knows it. */
export function endTask(world: World, task: TaskRow, outcome: Extract<TaskFact, { kind: 'task-ended' }>['outcome']): void {
  if (task.status !== 'open') return
  task.status = 'ended'
  const { id, path, generation } = task
  world.inbox.push({ kind: 'task-ended', path, generation, task: id, by: 'bob', outcome })
}

/** Somebody claims a task, or tells how far it is. */
export function tellTask(world: World, { id, path, generation }: TaskRow): void {
  world.inbox.push({ kind: 'task-news', path, generation, task: id, type: 'claimed', data: { by: 'bob' } })
}
