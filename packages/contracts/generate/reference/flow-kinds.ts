/** Kinds that compute, and that decide what runs. */
import { ANY_EXPRESSION, type KindText } from './kind-text.ts'

const CONTAINER_CONTROLS = [
  ['cancel', 'nothing new starts inside; calls in flight end, waits are cancelled'],
  ['pause', 'the same as outside: nothing new starts, what is in flight ends'],
  ['retry', 'what failed or was cancelled inside runs again, the rest stays. One that failed for a reason of its own begins anew'],
  ['replay', 'all that is inside begins again, in the next generation'],
] as const

const INSIDE = `Steps inside may mention steps around them, which makes the container wait for those; from outside only the container can be mentioned. A \`timeout\` bounds all that is inside.`

const set: KindText = {
  about: `Values that several steps need, computed once and recorded: everything that follows reads the same. It is evaluated by the runner itself and costs no call. A text that is exactly one
expression keeps its type; otherwise its parts are joined as text.`,
  output: 'The object, with every expression replaced by its value.',
  errors: [
    ANY_EXPRESSION,
    ['BTN_EXPRESSION_LIMIT', 'an expression did more work than it may'],
    ['BTN_OUTPUT_TOO_LARGE', 'the object is over 10 MiB'],
  ],
  waits: 'Nothing.',
  controls: [
    ['cancel, pause', 'the step is over at once, so they come before it or after it'],
    ['replay', 'the values are computed again'],
  ],
}

const switchKind: KindText = {
  about: `Cases are asked in their order, once, when the step starts; the first that is true runs, and no other. For a single step that may be left out, \`if\` on that step is shorter. ${INSIDE}

The path of a step inside is \`<switch>.<id>\`; two cases may have steps of the same id.`,
  output: {
    case: 'number of the case that ran (from 0), `"default"`, or null when none did',
    outputs: 'the outputs of its steps, by id; `{}` when none ran',
  },
  errors: [
    ['BTN_STEP_FAILED', 'a step inside failed; `cause` has its error'],
    ['BTN_TIMEOUT', 'what is inside took longer than the `timeout` of the step'],
    ANY_EXPRESSION,
  ],
  waits: 'The steps inside.',
  controls: CONTAINER_CONTROLS,
}

const forEach: KindText = {
  about: `Each item gets steps of its own, \`<forEach>[<index>].<id>\`, with their own attempts, events and outputs; \`concurrency\` bounds how many items are under way. The results stand in the order of
the list, whichever item ended first. Lists of up to 10 000 items are taken (\`BATON_FOR_EACH_ITEMS_MAX\`). ${INSIDE}`,
  output: { results: 'one entry an item, in the order of the list: `{ status, output: { <id>: … }, error }`' },
  errors: [
    ['BTN_STEP_FAILED', 'an item failed under `onItemError: fail`; `cause` has its error, and says at which step'],
    ['BTN_EXPRESSION', '`in` did not give a list'],
    ['BTN_TOO_LARGE', 'the list has more items than may be'],
    ['BTN_TIMEOUT', 'all items together took longer than the `timeout` of the step'],
  ],
  waits: 'The steps of its items.',
  controls: CONTAINER_CONTROLS,
  more: 'Patterns: [fan-out with partial failure](../patterns/fan-out.md).',
}

const loop: KindText = {
  about: `Rounds are done one after the other, and their steps are \`<loop>[<round>].<id>\`. \`while\` is asked before a round and \`until\` after it; give either, or both. In both, and in the steps inside,
\`iteration\` is the number of the round (from 0) and \`last\` what the round before gave, by the id of its steps: null in round 0, so \`last == null ? 0 : last.add.sum\` is how a loop carries a value.
In \`until\` they are about the round that has just ended. ${INSIDE}`,
  output: { iterations: 'how many rounds were done', last: 'what the last round gave, by the id of its steps; null when there was none' },
  errors: [
    ['BTN_LOOP_LIMIT', 'the loop would go on after `max` rounds'],
    ['BTN_STEP_FAILED', 'a step of a round failed; `cause` has its error'],
    ['BTN_TIMEOUT', 'all rounds together took longer than the `timeout` of the step'],
    ANY_EXPRESSION,
  ],
  waits: 'The steps of its round, or the `delay` between two.',
  controls: CONTAINER_CONTROLS,
  more: 'Patterns: [polling an API](../patterns/polling.md), [escalation to other people](../patterns/escalation.md).',
}

const fail: KindText = {
  about: `For what only the workflow knows to be wrong. The step fails, and by that the run, unless \`onError\` tolerates it; compensations of steps that succeeded run as after any other failure.
It is most useful behind an \`if\`, or in a case of a [\`switch\`](switch.md).`,
  output: 'None.',
  errors: [['BTN_USER_FAIL', 'always, unless `code` gives a code of your own']],
  waits: 'Nothing.',
  controls: [['retry', 'the run fails here again, unless a [patch](../controls.md#patch) has taken the step away']],
  examples: ['compensate'],
}

export const FLOW_KINDS = { set, switch: switchKind, forEach, loop, fail }
