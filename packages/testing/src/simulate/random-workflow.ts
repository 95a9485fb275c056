/** Random workflows of the kinds that run, in a form that the model understands. Their input is `{ n: number }`. */
import type { Dice } from './dice.ts'

export type Definition = { timeout?: string; steps: Steps; output?: { n: string } }
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
}

interface Making {
  dice: Dice
  ids: number
  left: number
  /** All its steps are calls that are tried again and again. */
  stubborn: boolean
}

const STUBBORN = { attempts: 4, backoff: 'fixed', initial: '1200ms', max: '3s', jitter: false }

/** A definition that compiles. */
export function randomWorkflow(dice: Dice): Definition {
  const making: Making = { dice, ids: 0, left: 3 + dice.below(10), stubborn: dice.chance(0.2) }
  const steps = randomSteps(making, 0)
  return {
    ...(dice.chance(0.15) ? { timeout: dice.pick(['4s', '12s', '40s']) } : {}),
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
        steps.map(([before]) => before),
      ),
    ])
  }
  return dice.chance(0.25) ? steps.map(([id, body]) => ({ id, ...body })) : Object.fromEntries(steps)
}

function randomStep(making: Making, depth: number, before: string[]): StepBody {
  const { dice } = making
  const needs = before.filter(() => dice.chance(0.35))
  const step = randomBody(making, depth, needs)
  if (needs.length > 0) {
    step.needs = needs.map((id) => (dice.chance(0.15) ? { step: id, require: 'succeeded' } : id))
    if (dice.chance(0.2)) step.join = 'any'
  }
  if (dice.chance(0.2)) step.if = randomCondition(dice, needs)
  if (dice.chance(0.5)) step.onError = dice.pick(['continue', { output: { n: 0 } }, { output: '${{ input.nope }}' }])
  return step
}

function randomCondition(dice: Dice, needs: string[]): string {
  if (needs.length > 0 && dice.chance(0.4)) return `steps.${dice.pick(needs)}.status == "succeeded"`
  return dice.pick(['input.n > 2', 'input.n > 100', 'true', 'input.nope > 1', '${{ input.n > 0 }}'])
}

function randomBody(making: Making, depth: number, needs: string[]): StepBody {
  const { dice } = making
  if (making.stubborn) return { ...randomCall(dice, needs), retry: STUBBORN, onError: 'continue' }
  const roll = dice.below(depth < 2 ? 24 : 21)
  if (roll < 10) return randomCall(dice, needs)
  if (roll < 12) return { agent: { model: 'mock/echo', prompt: 'n is ${{ input.n }}' }, ...randomRetry(dice) }
  if (roll < 15) return { set: randomSet(dice, needs) }
  if (roll < 17) {
    return { wait: { for: dice.pick(['0s', '300ms', '1s', '3s']) }, ...(dice.chance(0.2) ? { timeout: '600ms' } : {}) }
  }
  if (roll < 20) return { approval: randomQuestion(dice) }
  if (roll < 21) return dice.chance(0.4) ? { fail: { message: 'no' } } : randomCall(dice, needs)
  return randomSwitch(making, depth)
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

function randomSet(dice: Dice, needs: string[]): Record<string, string> {
  if (dice.chance(0.05)) return { n: '${{ input.nope }}' }
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

function randomSwitch(making: Making, depth: number): StepBody {
  const { dice } = making
  const inner = (): Steps => {
    making.left = Math.max(1, making.left)
    return randomSteps(making, depth + 1)
  }
  const cases = Array.from({ length: 1 + dice.below(2) }, () => ({
    if: dice.pick(['input.n > 1', 'input.n > 3', 'input.n > 50', ...(dice.chance(0.1) ? ['input.nope > 1'] : [])]),
    steps: inner(),
  }))
  return {
    switch: { cases, ...(dice.chance(0.5) ? { default: { steps: inner() } } : {}) },
    ...(dice.chance(0.25) ? { timeout: dice.pick(['1s', '20s']) } : {}),
  }
}
