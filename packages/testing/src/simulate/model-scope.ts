/** What the model knows of a place in a run: the steps that stand side by side there, and the names that expressions may use. */
import type { Json } from '@baton/contracts'
import type { Around } from './judge-beyond.ts'
import type { Definition, StepBody, Steps } from './random-workflow.ts'
import type { RunHistory } from './run-history.ts'

export interface Judged {
  history: RunHistory
  definition: Definition
  n: number
  /** The row of the approval of this public id. */
  approvalOf(id: string): { status: string; decision: string | null } | undefined
  /** Whole outputs, also of those that are stored apart. */
  unpack(value: Json | undefined): Json
  timeoutPassed: boolean
  around: Around
}

export interface Scope {
  judged: Judged
  prefix: string
  steps: Map<string, StepBody>
  /** When this scope, or one around it, began to end. */
  endingSeq: number
  /** Values of `item`, `index`, `iteration`, `last` and the names given by `as`. */
  names: Readonly<Record<string, Json>>
}

/** The scope of these steps. */
export function scopeOf(judged: Judged, prefix: string, steps: Steps, endingSeq: number, names: Scope['names']): Scope {
  return { judged, prefix, steps: bodiesOf(steps), endingSeq, names }
}

/** Steps by id, in their order. */
export function bodiesOf(steps: Steps): Map<string, StepBody> {
  return new Map(Array.isArray(steps) ? steps.map((body) => [body.id!, body]) : Object.entries(steps))
}

/** What is inside a step: the cases of a switch, the steps of a `forEach` or a loop. */
export function innerOf(body: StepBody): { steps: Steps }[] {
  return [...(body.switch?.cases ?? []), body.switch?.default, body.forEach, body.loop].filter((scope) => scope !== undefined)
}

/** Written needs, those of a sequence, and every step of the scope that is mentioned. */
export function depsOf({ steps }: Pick<Scope, 'steps'>, id: string, body: StepBody): { step: string; require: boolean }[] {
  const deps = new Map<string, boolean>()
  for (const [, other] of JSON.stringify({ ...body, needs: undefined, compensate: undefined }).matchAll(/steps\.(\w+)/g)) {
    if (steps.has(other!)) deps.set(other!, false)
  }
  for (const need of body.needs ?? []) {
    if (typeof need === 'string') deps.set(need, deps.get(need) ?? false)
    else deps.set(need.step, true)
  }
  const ids = [...steps.keys()]
  const before = ids[ids.indexOf(id) - 1]
  if (body.id !== undefined && before !== undefined && !deps.has(before)) deps.set(before, false)
  return [...deps].map(([step, require]) => ({ step, require }))
}

/** What a condition gives. `error`: it cannot be told. */
export function testOf(
  { judged, names }: Pick<Scope, 'judged' | 'names'>,
  text: string,
  more: Scope['names'] = {},
): 'run' | 'skip' | 'error' {
  if (text.includes('nope')) return 'error'
  const [, left, operator, right] = /([\w.]+) (>=|==|>|<) (input\.n|\d+)/.exec(text) ?? []
  if (left === undefined) return text.includes('false') ? 'skip' : 'run'
  const numberOf = (word: string) => (word === 'input.n' ? judged.n : /^\d+$/.test(word) ? Number(word) : { ...names, ...more }[word])
  const [a, b] = [numberOf(left), numberOf(right!)]
  if (operator === '==') return a === b ? 'run' : 'skip'
  if (typeof a !== 'number' || typeof b !== 'number') return 'error'
  return (operator === '>' ? a > b : operator === '<' ? a < b : a >= b) ? 'run' : 'skip'
}

/** True when both are the same JSON. */
export const same = (a: Json | undefined, b: Json | undefined) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null)
