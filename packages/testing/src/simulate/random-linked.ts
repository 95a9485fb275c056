/** Steps and settings that tie a run to others: events, child runs, slots of a concurrency key. */
import type { Dice } from './dice.ts'
import type { Definition, StepBody } from './random-workflow.ts'

/** Types of events that there are. */
export const EVENT_TYPES = ['order.paid', 'order.sent']
/** The one concurrency key. */
export const SLOT_KEY = 'k'
/** A workflow that nobody has saved. */
export const UNKNOWN_CHILD = 'nobody'

/** A step that waits for an event, tells of one, or starts a run of one of these workflows. */
export function randomLinked(dice: Dice, children: readonly string[]): StepBody {
  const roll = dice.below(children.length > 0 ? 10 : 6)
  if (roll < 4) return { waitFor: randomWait(dice) }
  if (roll < 6) return { emit: { type: dice.pick(EVENT_TYPES), data: { n: '${{ input.n }}' } } }
  return {
    workflow: {
      name: dice.chance(0.05) ? UNKNOWN_CHILD : dice.pick(children),
      input: { n: '${{ input.n }}' },
      ...(dice.chance(0.25) ? { wait: false } : {}),
    },
    ...(dice.chance(0.2) ? { timeout: dice.pick(['1s', '8s']) } : {}),
  }
}

function randomWait(dice: Dice): NonNullable<StepBody['waitFor']> {
  const timeout = dice.chance(0.4) ? { timeout: dice.pick(['500ms', '3s']) } : {}
  return {
    event: dice.chance(0.2) ? `\${{ '${EVENT_TYPES[0]}' }}` : dice.pick(EVENT_TYPES),
    ...(dice.chance(0.6)
      ? { where: dice.pick(['event.data.n > input.n', 'event.data.n == 2', 'event.data.n < 4', 'event.data.nope > 1']) }
      : {}),
    ...timeout,
    ...('timeout' in timeout && dice.chance(0.5) ? { onTimeout: 'continue' as const } : {}),
  }
}

/** What there is to share in a world; drawn once, because the runs of a key have one limit. */
export interface Crowd {
  /** How likely a step ties its run to others. */
  linked: number
  /** How likely a run has the concurrency key. */
  keyed: number
  limit: number
}

/** Most worlds know few ties; in some the runs crowd at one key. */
export function drawCrowd(dice: Dice): Crowd {
  return { linked: dice.pick([0, 0, 0.15, 0.4]), keyed: dice.pick([0, 0, 0, 0.9]), limit: 1 + dice.below(2) }
}

/** The concurrency key of a workflow, if it has one. */
export function randomSlot(dice: Dice, { keyed, limit }: Crowd): Pick<Definition, 'concurrency'> {
  if (!dice.chance(keyed)) return {}
  const onConflict = dice.pick(['queue', 'queue', 'queue', 'reject', 'cancel-running'] as const)
  return { concurrency: { key: SLOT_KEY, limit, onConflict } }
}
