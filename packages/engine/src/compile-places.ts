/** Finds all steps of a raw definition, whatever else is wrong with it. */
import type { Json } from '@baton/contracts'
import { type Compilation, isObject } from './compilation.ts'

/** Ids of all steps with the path of their container ('' at the top; of several the outermost comes first). */
export function findPlaces(c: Compilation): ReadonlyMap<string, string> {
  if (!c.places) {
    c.places = new Map()
    if (isObject(c.definition)) collect(c.definition.steps, '', c.places, 0)
  }
  return c.places
}

const DEPTH_MAX = 20

function collect(steps: Json | undefined, container: string, places: Map<string, string>, depth: number): void {
  if (depth > DEPTH_MAX) return
  for (const [id, body] of entriesOf(steps)) {
    if (!places.has(id)) places.set(id, container)
    if (!isObject(body)) continue
    const path = container === '' ? id : `${container}.${id}`
    for (const inner of innerSteps(body)) collect(inner, path, places, depth + 1)
  }
}

/** Ids and bodies of a list or map of steps. */
function entriesOf(steps: Json | undefined): [string, Json][] {
  if (Array.isArray(steps))
    return steps.flatMap((step): [string, Json][] => (isObject(step) && typeof step.id === 'string' ? [[step.id, step]] : []))
  return isObject(steps) ? Object.entries(steps) : []
}

function innerSteps(body: Record<string, Json>): (Json | undefined)[] {
  const bodies = [body.forEach, body.loop].filter(isObject).map((inner) => inner.steps)
  if (!isObject(body.switch)) return bodies
  const cases = Array.isArray(body.switch.cases) ? body.switch.cases : []
  return [...bodies, ...[...cases, body.switch.default ?? null].filter(isObject).map((branch) => branch.steps)]
}
