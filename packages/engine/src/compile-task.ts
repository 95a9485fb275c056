/** `task` to its plan. */
import {
  type Json,
  type KIND_BODIES,
  parseDuration,
  TASK_CAPABILITY_CHARS_MAX,
  TASK_LEASE_MS_MAX,
  TASK_LEASE_MS_MIN,
} from '@baton/contracts'
import { report } from './compilation.ts'
import { compileValue, type Place } from './compile-texts.ts'
import type { TaskPlan } from './plan.ts'

type Body = ReturnType<(typeof KIND_BODIES)['task']['parse']>

/** Compiles the body of `task`. */
export function compileTask(place: Place, body: Body, pointer: string, raw: Record<string, Json>): TaskPlan {
  const leaseMs = parseDuration(body.lease)!
  if (leaseMs < TASK_LEASE_MS_MIN || leaseMs > TASK_LEASE_MS_MAX) report(place.c, `${pointer}/lease`, 'must be between 100ms and 7d')
  body.capabilities.forEach((capability, i) => {
    if (capability.includes('${{') || capability.length <= TASK_CAPABILITY_CHARS_MAX) return
    report(place.c, `${pointer}/capabilities/${i}`, `must have at most ${TASK_CAPABILITY_CHARS_MAX} characters`)
  })
  return {
    kind: 'task',
    capabilities: compileValue(place, body.capabilities, `${pointer}/capabilities`),
    ...(raw.payload === undefined ? {} : { payload: compileValue(place, raw.payload, `${pointer}/payload`) }),
    leaseMs,
    priority: body.priority,
  }
}
