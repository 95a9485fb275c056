/** How runs come into a world: workflows that people and steps start. */
import type { WorkerWorld } from './calls-worker.ts'
import type { Dice } from './dice.ts'
import type { RunHeader } from './memory-rows.ts'
import { type ForkEvents, invitePeople, runIdOf, type StartedRun } from './people.ts'
import { drawCrowd } from './random-linked.ts'
import { type Definition, randomWorkflow, type StepBody, type Steps } from './random-workflow.ts'

export interface Beginning {
  definitions: Map<string, Definition>
  runs: StartedRun[]
  forkEvents: ForkEvents
  /** Its runs are of loops that pause between their rounds. */
  pausing: boolean
}

const CHILDREN = ['child-1', 'child-2']

/** Workflows that others start, the second by the first too; then runs, many of few steps where they crowd at a key. */
export function startRuns(world: WorkerWorld, dice: Dice, { definitions, runs, forkEvents, pausing }: Beginning): void {
  const people = invitePeople(world, { patience: dice.pick([0.02, 0.1, 0.3]), chatter: dice.pick([0.05, 0.3]), forkEvents, runs })
  const crowd = drawCrowd(dice)
  const free = { ...crowd, keyed: 0 }
  definitions.set('sha256:child-2', randomWorkflow(dice, free, { small: true }))
  definitions.set('sha256:child-1', randomWorkflow(dice, free, { small: true, children: ['child-2'] }))
  const isCrowded = crowd.keyed > 0
  for (let order = 0; order < (isCrowded ? 3 + dice.below(3) : 1 + dice.below(3)); order++) {
    const definition = randomWorkflow(dice, crowd, { children: CHILDREN, small: isCrowded, pausing })
    const checksum = `sha256:${order}`
    definitions.set(checksum, definition)
    const run = { runId: runIdOf(dice, order), definition, n: dice.below(5) }
    runs.push(run)
    people.start(run, checksum, dice.between(0, 2_000))
  }
}

/** A run was created: by people, or as the child of another. */
export function enterRun(world: WorkerWorld, runs: StartedRun[], definitions: ReadonlyMap<string, Definition>, header: RunHeader): void {
  const { runId, checksum, input, parent } = header
  const definition = definitions.get(checksum)!
  world.checker.historyOf(runId)
  if (parent) runs.push({ runId, definition, n: (input as { n: number }).n })
  expectCalls(world, runId, '', definition.steps)
}

/** Says which steps are done by others. */
function expectCalls(world: WorkerWorld, runId: string, prefix: string, steps: Steps): void {
  for (const [key, body] of Object.entries(steps) as [string, StepBody][]) {
    const path = prefix + (body.id ?? key)
    if (body.http || body.agent) world.checker.expectOutside(runId, path)
    if (body.compensate?.http || body.compensate?.agent) world.checker.expectOutside(runId, `${path}.compensate`)
    const inner = [...(body.switch?.cases ?? []), body.switch?.default, body.forEach, body.loop].filter((scope) => scope !== undefined)
    for (const scope of inner) expectCalls(world, runId, `${path}.`, scope.steps)
  }
}
