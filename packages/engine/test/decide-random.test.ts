/** Random workflows with random answers, timers, people, pauses and faults. A failure names its seed: run it alone with SEED=<n>; SEEDS=<n> sets how many. */
import assert from 'node:assert/strict'
import type { Json } from '@baton/contracts'
import { callIdOf, isTerminal } from '@baton/contracts'
import { compile, type EngineFact } from '@baton/engine'
import t from 'tap'
import { post } from './random-callbacks.ts'
import { endTask, tellTask } from './random-tasks.ts'
import { createDice, type Dice, randomWorkflow } from './random-workflow.ts'
import { createWorld, dueTimers, refoldFrom, resultOf, take, vote, type World } from './random-world.ts'

const SEEDS = Number(process.env.SEEDS ?? 500)
const seeds = process.env.SEED ? [Number(process.env.SEED)] : Array.from({ length: SEEDS }, (_, index) => index + 1)

type Body = Record<string, unknown> & { forEach?: Record<string, unknown> }

const SUCCEEDED = { status: 'succeeded', output: { n: 1 } } as const
const ERRORS = ['BTN_TIMEOUT', 'BTN_HTTP_STATUS', 'BTN_HTTP_NETWORK']

function randomOutcome(dice: Dice) {
  if (dice.chance(0.6)) return SUCCEEDED
  return { status: 'failed' as const, error: { code: dice.pick(ERRORS), message: 'no' }, retryable: dice.chance(0.6) }
}

function answer(world: World, dice: Dice): EngineFact[] {
  const steps = [...world.state.inFlight]
  if (steps.length === 0) return []
  const facts = [resultOf(world, dice.pick(steps).path, randomOutcome(dice))]
  world.past.push(...facts)
  return facts
}

function fireTimers(world: World, dice: Dice): EngineFact[] {
  const next = Math.min(...[...world.timers.values()].map(({ dueAt }) => dueAt))
  if (Number.isFinite(next)) world.now = Math.max(world.now, next)
  const due = dueTimers(world)
  const facts = dice.chance(0.7) ? due : due.slice(0, 1)
  world.past.push(...facts)
  return facts
}

function decideApproval(world: World, dice: Dice): EngineFact[] {
  const approvals = [...world.approvals.values()].filter(({ status }) => status === 'pending')
  if (approvals.length === 0) return []
  const approval = dice.pick(approvals)
  vote(world, approval, dice.pick(approval.options))
  return []
}

function callBack(world: World, dice: Dice): EngineFact[] {
  const addresses = [...world.callbacks.values()].filter(({ outcome }) => outcome === undefined)
  if (addresses.length > 0) post(world, dice.pick(addresses))
  return []
}

function work(world: World, dice: Dice): EngineFact[] {
  const tasks = [...world.tasks.values()].filter(({ status }) => status === 'open')
  if (tasks.length === 0) return []
  const task = dice.pick(tasks)
  if (dice.chance(0.4)) tellTask(world, task)
  if (dice.chance(0.7)) endTask(world, task, randomOutcome(dice))
  return []
}

/** What may come twice: a fact of the past, or one of an attempt that was never made. */
function stale(world: World, dice: Dice): EngineFact[] {
  if (world.past.length === 0) return []
  const fact = structuredClone(dice.pick(world.past))
  if (fact.kind === 'result' && dice.chance(0.5)) fact.redelivered = true
  if (fact.kind === 'result' && dice.chance(0.2)) fact.generation += 1
  return [fact]
}

function lose(world: World, dice: Dice): EngineFact[] {
  const { header, inFlight } = world.state
  const ids = [...inFlight].filter(() => dice.chance(0.5)).map((step) => callIdOf({ runId: header.runId, ...step }))
  return [{ kind: 'resend', calls: dice.chance(0.3) ? 'all' : ids }]
}

function withdraw(world: World, dice: Dice): EngineFact[] {
  const steps = [...world.state.inFlight]
  if (steps.length === 0) return []
  const error = { code: 'BTN_WITHDRAWN', message: 'not made' }
  return [resultOf(world, dice.pick(steps).path, { status: 'failed', error, retryable: false })]
}

/** Something happens: the facts that the runner is told, none when it is not woken. */
function happen(world: World, dice: Dice): EngineFact[] {
  const roll = dice.below(100)
  if (roll < 45) return answer(world, dice)
  if (roll < 60) return fireTimers(world, dice)
  if (roll < 63) return work(world, dice)
  if (roll < 66) return decideApproval(world, dice)
  if (roll < 70) return callBack(world, dice)
  if (roll < 80) return stale(world, dice)
  if (roll < 84) return lose(world, dice)
  if (roll < 88) return withdraw(world, dice)
  if (roll < 92) return [{ kind: 'pause', by: 'ann' }]
  if (roll < 97) return [{ kind: 'resume', by: 'ann' }]
  if (roll < 98) return [{ kind: 'cancel', by: 'ann' }]
  if (roll === 98 && dice.chance(0.3)) return [reopening(world, dice)]
  if (roll === 98 && dice.chance(0.2)) return [{ kind: 'abort', error: { code: 'BTN_INTERNAL', message: 'no' } }]
  if (roll === 98)
    world.state = refoldFrom(world, dice.below(world.events.length + 1)) // another runner takes the run up, from a snapshot
  else world.now += 1_000
  return []
}

/** A run is to be retried, or one of its steps replayed; often it cannot be. */
function reopening(world: World, dice: Dice): EngineFact {
  if (dice.chance(0.5)) return { kind: 'retry', by: 'ann' }
  const inside = [...world.state.steps.values()].filter(({ scope, status }) => scope.owner && status !== 'pending')
  const paths = inside.length > 0 && dice.chance(0.7) ? inside.map(({ path }) => path) : [...world.state.steps.keys()]
  return { kind: 'replay', by: 'ann', path: dice.pick(paths), reason: 'again' }
}

/** All that is outside answers now, until nothing is left. */
function bringToEnd(world: World, dice: Dice): void {
  for (let round = 0; round < 500 && !isTerminal(world.state.status); round++) {
    const facts: EngineFact[] = world.state.status === 'paused' ? [{ kind: 'resume', by: 'ann' }] : []
    if (world.state.status === 'queued') facts.push({ kind: 'start' })
    if (dice.chance(0.5)) decideApproval(world, dice)
    if (dice.chance(0.5)) callBack(world, dice)
    if (dice.chance(0.5)) work(world, dice)
    facts.push(...answer(world, dice), ...(world.state.inFlight.size === 0 ? fireTimers(world, dice) : []))
    take(world, facts)
  }
  assert.ok(isTerminal(world.state.status), `the run did not end: ${world.state.status}, ending ${world.state.ending}`)
}

/** Containers bear their failures, few of many items go on at once, and nothing is undone: steps in them can be replayed over and over. */
function bearFailures({ steps }: Record<string, unknown>, dice: Dice): void {
  for (const step of Object.values(steps as Record<string, Body>)) {
    if (step.switch || step.forEach || step.loop) step.onError ??= 'continue'
    delete step.compensate
    if (!step.forEach) continue
    Object.assign(step.forEach, { in: [1, 2, 3, 4, 5], concurrency: 1 + dice.below(2) })
    delete step.forEach.onItemError
  }
}

function runSeed(seed: number): string {
  const dice = createDice(seed)
  const definition = randomWorkflow(dice)
  if (dice.chance(0.3)) bearFailures(definition, dice)
  const { plan, errors } = compile(definition as Json, { name: 'random' })
  assert.ok(plan, `${JSON.stringify(errors)}\n${JSON.stringify(definition)}`)
  const world = createWorld(plan, seed)
  if (dice.chance(0.3)) world.eventsMax = dice.pick([4, 6, 12])
  try {
    if (dice.chance(0.9)) take(world, [{ kind: 'start' }])
    for (let n = dice.below(60); n > 0; n--) {
      const facts = dice.chance(0.2) ? [...happen(world, dice), ...happen(world, dice)] : happen(world, dice)
      take(world, facts, dice.chance(0.7))
    }
    bringToEnd(world, dice)
    for (let n = dice.pick([2, 2, 6]); n > 0; n--) {
      const before = world.state.seq
      take(world, [reopening(world, dice)])
      if (world.state.seq > before) bringToEnd(world, dice)
    }
    for (let n = 0; n < 3; n++) refoldFrom(world, dice.below(world.events.length + 1))
    return world.state.status
  } catch (error) {
    const told = world.events.map(({ seq, type, path }) => `${seq} ${type} ${path}`).join('\n')
    throw new Error(`seed ${seed}: ${(error as Error).message}\n${JSON.stringify(definition)}\n${told}`, { cause: error })
  }
}

t.test(`${seeds.length} random runs keep what is promised at every moment, and end`, (t) => {
  const ends = new Map<string, number>()
  const failures: Error[] = []
  for (const seed of seeds) {
    try {
      const status = runSeed(seed)
      ends.set(status, (ends.get(status) ?? 0) + 1)
    } catch (error) {
      failures.push(error as Error)
      break
    }
  }
  for (const failure of failures) t.fail(failure.message)
  t.equal(failures.length, 0)
  t.comment([...ends].map(([status, count]) => `${status} ${count}`).join(', '))
  if (seeds.length >= 300) for (const status of ['succeeded', 'failed', 'cancelled', 'timed_out']) t.ok(ends.get(status), `some ${status}`)
  t.end()
})
