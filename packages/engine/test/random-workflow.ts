/** Random workflows of the kinds that run, each made from one seed. */

export interface Dice {
  /** Uniform in [0, 1). */
  next(): number
  /** A whole number below `n`. */
  below(n: number): number
  chance(probability: number): boolean
  pick<T>(items: readonly T[]): T
}

/** mulberry32: small, and the same everywhere. */
export function createDice(seed: number): Dice {
  let a = Math.imul(seed, 0x9e3779b1) >>> 0
  const next = () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const below = (n: number) => Math.floor(next() * n)
  return { next, below, chance: (probability) => next() < probability, pick: (items) => items[below(items.length)]! }
}

type Definition = Record<string, unknown>

interface Making {
  dice: Dice
  ids: number
  left: number
}

/** A definition that compiles. Its input is `{ n: number }`. */
export function randomWorkflow(dice: Dice): Definition {
  const making: Making = { dice, ids: 0, left: 4 + dice.below(14) }
  const steps = randomSteps(making, 0, [])
  return {
    ...(dice.chance(0.2) ? { timeout: dice.pick(['5s', '1m', '10m']) } : {}),
    steps,
    ...(dice.chance(0.3) ? { output: { n: dice.chance(0.1) ? '${{ input.nope }}' : '${{ input.n + 1 }}' } } : {}),
  }
}

function randomSteps(making: Making, depth: number, outer: string[]): Definition | Definition[] {
  const { dice } = making
  const count = 1 + dice.below(depth === 0 ? 8 : 4)
  const ids: string[] = []
  const bodies: Definition[] = []
  for (let i = 0; i < count && making.left > 0; i++) {
    const id = `s${++making.ids}`
    making.left--
    bodies.push(randomStep(making, depth, ids, outer))
    ids.push(id)
  }
  if (dice.chance(0.25)) return bodies.map((body, i) => ({ id: ids[i], ...body }))
  return Object.fromEntries(bodies.map((body, i) => [ids[i], body]))
}

function randomStep(making: Making, depth: number, before: string[], outer: string[]): Definition {
  const { dice } = making
  const needs = before.filter(() => dice.chance(0.35))
  const step: Definition = randomBody(making, depth, [...outer, ...before])
  if (needs.length > 0 || dice.chance(0.05)) {
    step.needs = needs.map((id) => (dice.chance(0.2) ? { step: id, require: 'succeeded' } : id))
  }
  if (needs.length > 0 && dice.chance(0.25)) step.join = 'any'
  if (dice.chance(0.2)) step.if = randomCondition(making, needs)
  if (dice.chance(0.15)) step.compensate = randomCompensation(dice)
  if (dice.chance(0.3))
    step.onError = dice.pick(['continue', { output: { n: 0 } }, { output: { n: '${{ input.n }}' } }, { output: '${{ input.nope }}' }])
  return step
}

function randomCondition({ dice }: Making, needs: string[]): string {
  if (needs.length > 0 && dice.chance(0.4)) return `steps.${dice.pick(needs)}.status == "succeeded"`
  return dice.pick(['input.n > 2', 'input.n > 100', 'true', 'input.nope > 1', '${{ input.n >= 0 }}'])
}

function randomBody(making: Making, depth: number, visible: string[]): Definition {
  const { dice } = making
  const roll = dice.below(depth < 3 ? 20 : 15)
  if (roll < 7) return randomCall(dice)
  if (roll < 9)
    return {
      set: {
        n: dice.chance(0.1)
          ? '${{ input.nope }}'
          : dice.chance(0.3) && visible.length > 0
            ? `\${{ steps.${dice.pick(visible)}.status }}`
            : '${{ input.n }}',
      },
    }
  if (roll < 11)
    return {
      wait: dice.chance(0.1) ? { for: '0s' } : { for: dice.pick(['1s', '30s', '1h']) },
      ...(dice.chance(0.3) ? { timeout: '10s' } : {}),
    }
  if (roll < 14) return dice.chance(0.4) ? randomTask(dice) : { approval: randomQuestion(dice) }
  if (roll < 15) return dice.chance(0.3) ? { fail: { message: 'no' } } : randomCall(dice)
  if (roll < 17) return randomForEach(making, depth, visible)
  if (roll < 18) return randomLoop(making, depth, visible)
  return randomSwitch(making, depth, visible)
}

function randomCompensation(dice: Dice): Definition {
  const retry = { attempts: 1 + dice.below(2), backoff: 'fixed', initial: '1s' }
  if (dice.chance(0.2)) return { wait: { for: '1s' } }
  if (dice.chance(0.1)) return { task: { capabilities: ['undo'] }, ...(dice.chance(0.5) ? { retry } : {}) }
  if (dice.chance(0.2)) return { set: { n: dice.chance(0.2) ? '${{ input.nope }}' : '${{ input.n }}' } }
  if (dice.chance(0.2)) return { http: { url: 'http://x.example/', body: '${{ callback.url }}', callback: true }, timeout: '1h' }
  return { http: { url: 'http://x.example/undo' }, ...(dice.chance(0.7) ? { retry } : {}) }
}

function randomForEach(making: Making, depth: number, visible: string[]): Definition {
  const { dice } = making
  const list = dice.pick<unknown>([
    [],
    [1],
    [1, 2, 3],
    '${{ [input.n, 2] }}',
    [5, 4, 3, 2, 1],
    ...(dice.chance(0.1) ? ['${{ input.n }}'] : []),
  ])
  return {
    forEach: {
      in: list,
      steps: randomInner(making, depth, visible),
      concurrency: 1 + dice.below(3),
      ...(dice.chance(0.5) ? { onItemError: 'continue' } : {}),
    },
    ...(dice.chance(0.2) ? { timeout: dice.pick(['2s', '1h']) } : {}),
  }
}

function randomLoop(making: Making, depth: number, visible: string[]): Definition {
  const { dice } = making
  return {
    loop: {
      steps: randomInner(making, depth, visible),
      ...(dice.chance(0.5) ? { while: dice.pick(['iteration < 2', 'iteration < input.n', 'false']) } : {}),
      until: dice.pick(['iteration >= 1', 'input.n > 2', 'iteration == input.n', ...(dice.chance(0.1) ? ['last.nope > 1'] : [])]),
      max: 1 + dice.below(4),
      ...(dice.chance(0.3) ? { delay: dice.pick(['0s', '1s']) } : {}),
    },
    ...(dice.chance(0.2) ? { timeout: dice.pick(['2s', '1h']) } : {}),
  }
}

function randomCall(dice: Dice): Definition {
  if (dice.chance(0.25)) {
    const http = { url: 'http://x.example/', body: '${{ callback.url }}', callback: true }
    const retry = { attempts: 2, backoff: 'fixed', initial: '1s' }
    return { http, ...(dice.chance(0.5) ? { retry } : {}), ...(dice.chance(0.5) ? { timeout: dice.pick(['2s', '1h']) } : {}) }
  }
  const url = dice.chance(0.05) ? 'http://x.example/${{ input.nope }}' : 'http://x.example/${{ input.n }}'
  if (!dice.chance(0.4)) return { http: { url } }
  const retry = { attempts: 1 + dice.below(3), backoff: dice.pick(['exponential', 'fixed']), initial: '1s', max: '4s' }
  return { http: { url }, retry: dice.chance(0.2) ? { ...retry, on: 'error.code == "BTN_TIMEOUT"' } : retry }
}

function randomTask(dice: Dice): Definition {
  return {
    task: { capabilities: ['ocr'], payload: dice.chance(0.05) ? '${{ input.nope }}' : { n: '${{ input.n }}' } },
    ...(dice.chance(0.4) ? { timeout: dice.pick(['2s', '1h']) } : {}),
    ...(dice.chance(0.5) ? { retry: { attempts: 1 + dice.below(3), backoff: 'fixed', initial: '1s' } } : {}),
  }
}

function randomQuestion(dice: Dice): Definition {
  return {
    title: 'Go ${{ input.n }}?',
    ...(dice.chance(0.5) ? { timeout: dice.pick(['1s', '1h']), onTimeout: dice.pick(['reject', 'approve', 'fail']) } : {}),
    ...(dice.chance(0.5) ? { onReject: dice.pick(['fail', 'continue']) } : {}),
    ...(dice.chance(0.1) ? { assignees: '${{ input.n }}' } : {}),
  }
}

function randomSwitch(making: Making, depth: number, visible: string[]): Definition {
  const { dice } = making
  const cases = Array.from({ length: 1 + dice.below(2) }, () => ({
    if: dice.pick(['input.n > 1', 'input.n > 3', 'input.n > 50', ...(dice.chance(0.1) ? ['input.nope > 1'] : [])]),
    steps: randomInner(making, depth, visible),
  }))
  return {
    switch: { cases, ...(dice.chance(0.5) ? { default: { steps: randomInner(making, depth, visible) } } : {}) },
    ...(dice.chance(0.3) ? { timeout: dice.pick(['2s', '1h']) } : {}),
  }
}

/** Never empty, also when the number of steps is used up. */
function randomInner(making: Making, depth: number, visible: string[]): Definition | Definition[] {
  making.left = Math.max(1, making.left)
  return randomSteps(making, depth + 1, visible)
}
