/** Random workflows of the kinds that run, in a form that the model understands. Their input is `{ n: number }`. */
import type { Json } from '@baton/contracts'
import type { Dice } from './dice.ts'
import { type Crowd, randomLinked, randomSlot } from './random-linked.ts'

export type Definition = {
  timeout?: string
  concurrency?: { key: string; limit: number; onConflict: 'queue' | 'reject' | 'cancel-running' }
  steps: Steps
  output?: { n: string }
}
export type Steps = StepBody[] | Record<string, StepBody>
export interface StepBody {
  id?: string
  needs?: (string | { step: string; require: 'succeeded' })[]
  join?: 'any'
  if?: string
  onError?: 'continue' | { output: { n: number } | string }
  timeout?: string
  retry?: { attempts: number; backoff: string; initial: string; max: string; jitter?: boolean; on?: string }
  http?: { url: string; body?: object }
  agent?: { model: string; prompt: string }
  set?: Record<string, string>
  wait?: { for: string }
  approval?: { title: string; timeout?: string; onTimeout?: string; onReject?: string; quorum?: number; assignees?: string }
  fail?: { message: string }
  switch?: { cases: { if: string; steps: Steps }[]; default?: { steps: Steps } }
  forEach?: { in: Json[] | string; as?: string; concurrency: number; onItemError?: 'continue'; steps: Steps }
  loop?: { while?: string; until?: string; max: number; delay?: string; steps: Steps }
  waitFor?: { event: string; where?: string; timeout?: string; onTimeout?: 'continue' }
  emit?: { type: string; data: { n: string } }
  workflow?: { name: string; input: { n: string }; wait?: boolean }
  compensate?: Pick<StepBody, 'http' | 'agent' | 'set' | 'wait' | 'fail' | 'retry'>
}

interface Making {
  dice: Dice
  ids: number
  left: number
  /** All its steps are calls that are tried again and again. */
  stubborn: boolean
  /** All its steps at the top are loops that pause again and again. */
  pausing: boolean
  /** How likely a step can be undone. */
  undone: number
  /** Names of the items and rounds around the steps that are made. */
  around: string[]
  /** How likely a step ties its run to others; names of workflows that it may start. */
  linked: number
  children: readonly string[]
}

const QUICK = { attempts: 5, backoff: 'fixed', initial: '300ms', max: '1s' }
const STUBBORN = { attempts: 4, backoff: 'fixed', initial: '1200ms', max: '3s', jitter: false }

/** A definition that compiles. `children`: workflows that it may start; `small`: of few steps. */
export function randomWorkflow(
  dice: Dice,
  crowd: Crowd,
  { children = [] as readonly string[], small = false, pausing = false } = {},
): Definition {
  const making: Making = {
    dice,
    ids: 0,
    left: small ? 1 + dice.below(3) : 3 + dice.below(10),
    stubborn: dice.chance(0.2),
    pausing,
    undone: dice.pick([0, 0.1, 0.6]),
    around: [],
    linked: crowd.linked,
    children,
  }
  const steps = randomSteps(making, 0)
  return {
    ...(dice.chance(0.15) ? { timeout: dice.pick(['4s', '12s', '40s']) } : {}),
    ...randomSlot(dice, crowd),
    steps,
    ...(dice.chance(0.3) ? { output: { n: dice.chance(0.1) ? '${{ input.nope }}' : '${{ input.n + 1 }}' } } : {}),
  }
}

function randomSteps(making: Making, depth: number): Steps {
  const { dice } = making
  const count = 1 + dice.below(depth === 0 ? 7 : 3)
  const steps: [id: string, StepBody][] = []
  for (let i = 0; i < count && making.left > 0; i++) {
    const id = `s${++making.ids}`
    making.left--
    steps.push([
      id,
      randomStep(
        making,
        depth,
        id,
        steps.map(([before]) => before),
      ),
    ])
  }
  return dice.chance(0.25) ? steps.map(([id, body]) => ({ id, ...body })) : Object.fromEntries(steps)
}

function randomStep(making: Making, depth: number, id: string, before: string[]): StepBody {
  const { dice } = making
  const needs = before.filter(() => dice.chance(0.35))
  const step = randomBody(making, depth, needs)
  if (needs.length > 0) {
    step.needs = needs.map((id) => (dice.chance(0.15) ? { step: id, require: 'succeeded' } : id))
    if (dice.chance(0.2)) step.join = 'any'
  }
  if (dice.chance(0.2)) step.if = randomCondition(making, needs)
  if (dice.chance(making.undone)) step.compensate = randomCompensation(making, id)
  if (dice.chance(0.5)) step.onError = dice.pick(['continue', { output: { n: 0 } }, { output: '${{ input.nope }}' }])
  return step
}

function randomCondition({ dice, around }: Making, needs: string[]): string {
  if (around.length > 0 && dice.chance(0.4)) return `${dice.pick(around)} ${dice.pick(['>', '<', '>=', '=='])} ${dice.below(4)}`
  if (needs.length > 0 && dice.chance(0.4)) return `steps.${dice.pick(needs)}.status == "succeeded"`
  return dice.pick(['input.n > 2', 'input.n > 100', 'true', 'input.nope > 1', '${{ input.n > 0 }}'])
}

function randomBody(making: Making, depth: number, needs: string[]): StepBody {
  const { dice } = making
  if (making.pausing) return depth === 0 ? randomPauses(making, depth) : { set: randomSet(making, needs) }
  if (making.stubborn) return { ...randomCall(dice, needs), retry: STUBBORN, onError: 'continue' }
  if (dice.chance(making.linked)) return randomLinked(dice, making.children)
  const roll = dice.below(depth < 2 ? 29 : 21)
  if (roll < 10) return randomCall(dice, needs)
  if (roll < 12) return { agent: { model: 'mock/echo', prompt: 'n is ${{ input.n }}' }, ...randomRetry(dice) }
  if (roll < 15) return { set: randomSet(making, needs) }
  if (roll < 17) {
    return { wait: { for: dice.pick(['0s', '300ms', '1s', '3s']) }, ...(dice.chance(0.2) ? { timeout: '600ms' } : {}) }
  }
  if (roll < 20) return { approval: randomQuestion(dice) }
  if (roll < 21) return dice.chance(0.4) ? { fail: { message: 'no' } } : randomCall(dice, needs)
  if (roll < 24) return randomSwitch(making, depth)
  return roll < 27 ? randomForEach(making, depth) : randomLoop(making, depth)
}

/** What undoes a step; it may read what the step gave. */
function randomCompensation({ dice }: Making, id: string): NonNullable<StepBody['compensate']> {
  const roll = dice.below(10)
  if (roll < 7) {
    const url = dice.chance(0.05) ? 'http://x.example/${{ input.nope }}' : 'http://x.example/undo'
    return { http: { url, body: { of: `\${{ steps.${id}.output }}` } }, ...(dice.chance(0.3) ? randomRetry(dice) : { retry: QUICK }) }
  }
  if (roll < 8) return { agent: { model: 'mock/echo', prompt: 'undo' } }
  if (roll < 9) return { set: { of: `\${{ steps.${id}.output }}` } }
  return dice.chance(0.6) ? { wait: { for: '300ms' } } : { fail: { message: 'no' } }
}

function randomCall(dice: Dice, needs: string[]): StepBody {
  const url = dice.chance(0.04) ? 'http://x.example/${{ input.nope }}' : 'http://x.example/${{ input.n }}'
  const body = needs.length > 0 && dice.chance(0.3) ? { body: { from: `\${{ steps.${dice.pick(needs)}.output }}` } } : {}
  return { http: { url, ...body }, ...randomRetry(dice) }
}

function randomRetry(dice: Dice): Pick<StepBody, 'retry'> {
  if (!dice.chance(0.8)) return {}
  const retry = {
    attempts: 2 + dice.below(3),
    backoff: dice.pick(['exponential', 'fixed']),
    initial: dice.pick(['300ms', '1500ms']),
    max: '3s',
    ...(dice.chance(0.5) ? { jitter: false } : {}),
  }
  return { retry: dice.chance(0.1) ? { ...retry, on: 'error.code == "BTN_TIMEOUT"' } : retry }
}

function randomSet({ dice, around }: Making, needs: string[]): Record<string, string> {
  if (dice.chance(0.05)) return { n: '${{ input.nope }}' }
  if (around.length > 0 && dice.chance(0.6))
    return { n: '${{ input.n }}', ...Object.fromEntries(around.map((name) => [name, `\${{ ${name} }}`])) }
  if (needs.length === 0) return { n: '${{ input.n }}' }
  const id = dice.pick(needs)
  return { n: '${{ input.n }}', status: `\${{ steps.${id}.status }}`, output: `\${{ steps.${id}.output }}` }
}

function randomQuestion(dice: Dice): NonNullable<StepBody['approval']> {
  return {
    title: 'Go ${{ input.n }}?',
    ...(dice.chance(0.5) ? { timeout: dice.pick(['1s', '4s']), onTimeout: dice.pick(['reject', 'approve', 'fail']) } : {}),
    ...(dice.chance(0.5) ? { onReject: dice.pick(['fail', 'continue']) } : {}),
  }
}

/** Steps inside: never none, also when the number of steps is used up. */
function randomInner(making: Making, depth: number, names: string[] = []): Steps {
  const { around } = making
  making.left = Math.max(1, making.left)
  making.around = [...new Set([...around, ...names])]
  const steps = randomSteps(making, depth + 1)
  making.around = around
  return steps
}

const LISTS: readonly (Json[] | string)[] = [[], [1], [3, 2, 1], [0, 1, 2, 3, 4], '${{ [input.n, 2] }}', ['x'.repeat(300), 2, 3]]

function randomForEach(making: Making, depth: number): StepBody {
  const { dice } = making
  const as = dice.chance(0.4) ? `x${making.ids}` : undefined
  const list = dice.chance(0.04) ? '${{ input.n }}' : dice.pick(LISTS)
  const steps = randomInner(making, depth, as ? [as, `${as}Index`] : ['item', 'index'])
  return {
    forEach: {
      in: list,
      ...(as ? { as } : {}),
      concurrency: 1 + dice.below(3),
      ...(dice.chance(0.5) ? { onItemError: 'continue' } : {}),
      steps,
    },
    ...(dice.chance(0.2) ? { timeout: dice.pick(['1s', '20s']) } : {}),
  }
}

function randomLoop(making: Making, depth: number): StepBody {
  const { dice } = making
  const ask = () => dice.pick(['iteration < 1', 'iteration < 2', 'iteration < input.n', 'input.n > 2', 'false'])
  const told = () => dice.pick(['iteration >= 1', 'iteration == input.n', 'input.n > 1', ...(dice.chance(0.2) ? ['last.nope > 1'] : [])])
  const asked = dice.below(3)
  return {
    loop: {
      ...(asked !== 0 ? { while: ask() } : {}),
      ...(asked !== 1 ? { until: told() } : {}),
      max: 1 + dice.below(4),
      ...(dice.chance(0.4) ? { delay: dice.pick(['0s', '300ms', '1s']) } : {}),
      steps: randomInner(making, depth, ['iteration', 'last']),
    },
    ...(dice.chance(0.2) ? { timeout: dice.pick(['1s', '20s']) } : {}),
  }
}

/** Rounds with a delay after each: the timer of one may come in the next. */
function randomPauses(making: Making, depth: number): StepBody {
  const rounds = 3 + making.dice.below(2)
  const steps = randomInner(making, depth, ['iteration', 'last'])
  return { loop: { while: `iteration < ${rounds}`, max: rounds + 1, delay: making.dice.pick(['300ms', '1s']), steps } }
}

function randomSwitch(making: Making, depth: number): StepBody {
  const { dice } = making
  const inner = () => randomInner(making, depth)
  const cases = Array.from({ length: 1 + dice.below(2) }, () => ({
    if: dice.pick(['input.n > 1', 'input.n > 3', 'input.n > 50', ...(dice.chance(0.1) ? ['input.nope > 1'] : [])]),
    steps: inner(),
  }))
  return {
    switch: { cases, ...(dice.chance(0.5) ? { default: { steps: inner() } } : {}) },
    ...(dice.chance(0.25) ? { timeout: dice.pick(['1s', '20s']) } : {}),
  }
}
