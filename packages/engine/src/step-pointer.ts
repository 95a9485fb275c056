/** Where a step of a run stands in the definition. */
import type { Json } from '@baton/contracts'
import { isObject } from './compilation.ts'
import { escapePointer, segmentsOf } from './json-pointers.ts'
import type { StepState } from './state.ts'

/** JSON Pointer into the definition of a step, also of one inside containers. */
export function pointerOfStep(definition: Json, step: StepState): string {
  const { owner } = step.scope
  const steps = owner ? pointerOfStep(definition, owner) + insideOf(owner) : '/steps'
  const written = segmentsOf(steps).reduce<Json | undefined>(
    (value, key) => (Array.isArray(value) ? value[Number(key)] : isObject(value) ? value[key] : undefined),
    definition,
  )
  const { id } = step.step
  const index = Array.isArray(written) ? written.findIndex((item) => isObject(item) && item.id === id) : -1
  return `${steps}/${index >= 0 ? index : escapePointer(id)}`
}

function insideOf({ step, chosen }: StepState): string {
  if (step.kind !== 'switch') return `/${step.kind}/steps`
  return chosen === 'default' ? '/switch/default/steps' : `/switch/cases/${chosen}/steps`
}
