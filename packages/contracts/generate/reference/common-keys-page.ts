/** docs/reference/common-keys.md: the keys of every step. */
import { commonKeys } from '../../src/definition-keys.ts'
import { type ExampleFile, exampleSection } from './example-files.ts'
import { GENERATED, keysTable } from './tables.ts'

interface Section {
  title: string
  /** The keys of its table: this one and those inside it. */
  key: string
  text: string
  examples: readonly string[]
}

const SECTIONS: readonly Section[] = [
  {
    title: 'name',
    key: 'name',
    text: 'For people: it stands in lists, graphs and notifications. Programs name a step by its path.',
    examples: [],
  },
  {
    title: 'needs',
    key: 'needs',
    text: `In a map of steps everything starts at once, save where one step mentions another: \`\${{ steps.a.output }}\` in step b is an arrow from a to b, and needs no \`needs\`. Write it where the order
matters and no data says so. In a list of steps each needs the one before it as well.

A dependency is **satisfied** when it succeeded, was skipped, or failed under \`onError: continue\` or \`{ output }\`. So an optional step is no obstacle to those after it: they see null as its
output. Where it should be one, say \`require: succeeded\`: the step is then skipped together with what it needs. Saving a definition warns where a step without \`if\` depends on an approval that
may be skipped. A cycle, or an id that is not there, is an error when the definition is saved.`,
    examples: ['needs'],
  },
  {
    title: 'if',
    key: 'if',
    text: `A condition, asked once, when the dependencies are satisfied. When it is false the step is \`skipped\`: a state like any other, not a failure. Its output is null. A condition that cannot be
evaluated fails the step (\`BTN_EXPRESSION\`). For several steps behind one condition, see [\`switch\`](switch.md).`,
    examples: [],
  },
  {
    title: 'join',
    key: 'join',
    text: `What to do when there are several dependencies. \`all\` is the usual fan-in. \`any\` is a race: the step starts with the first that succeeded, and is skipped when none did. The others go on; the
step reads them as they are at that moment, recorded once, so a replay reads the same.`,
    examples: ['join-any'],
  },
  {
    title: 'timeout',
    key: 'timeout',
    text: `For a kind that does work, it bounds each attempt, so with \`retry\` a step may take \`attempts × timeout\` and the pauses between. For a kind that waits (\`wait\`, \`workflow\`, containers) it bounds
the whole. A step that is out of time fails with \`BTN_TIMEOUT\`. To bound a run, see [\`timeout\` at the top](definition.md).`,
    examples: ['timeout'],
  },
  {
    title: 'retry',
    key: 'retry',
    text: `Retries that the run knows of: each attempt is in the history, and between two the step is \`retrying\`, with a timer that survives restarts. (That a worker may die is not your concern: its call is
taken over within the same attempt, under the same Idempotency-Key.)

Without \`on\` only what may pass by itself is tried again: network errors, timeouts, 408, 425, 429 and 5xx, lost workers. \`on\` replaces that rule. It sees \`error\`: \`code\`, \`message\`, and the
\`status\` of an HTTP answer. \`Retry-After\` of a service is obeyed, up to \`max\`.`,
    examples: ['retry'],
  },
  {
    title: 'onError',
    key: 'onError',
    text: `When all attempts are used up. By default the run ends: what is under way is finished, what waits is cancelled, what was done is undone by \`compensate\`. Where a failure is something the workflow
can live with, say so: later steps then read \`steps.<id>.status\` (\`failed\`), \`.error.code\`, and an output of your choice.`,
    examples: ['on-error'],
  },
  {
    title: 'compensate',
    key: 'compensate',
    text: `How to undo a step: a saga, written beside what it undoes. When the run fails, is cancelled or times out, the \`compensate\` bodies of the steps that **succeeded** run one after the other, the last
that ended first, outside the run's timeout. It may mention its own step and all before it. A compensation that fails does not stop the others; the run then ends \`failed\` with
\`BTN_COMPENSATION_FAILED\` and the first error as \`cause\`. Once a compensation has begun the run can no longer be retried: fork it. See the pattern [saga](../patterns/saga.md).`,
    examples: ['compensate'],
  },
]

/** The page. Each example that it shows is taken out of `unshown`. */
export function commonKeysPage(examples: readonly ExampleFile[], unshown: Set<string>): string {
  const keys = commonKeys()
  const section = ({ title, key, text, examples: names }: Section) => {
    const own = keys.filter(({ path }) => path === key || path.startsWith(`${key}.`))
    const shown = examples.filter(({ name }) => names.includes(name))
    for (const { name } of shown) unshown.delete(name)
    return `## ${title}\n\n${keysTable(own)}\n\n${text}\n${shown.map((example) => `\n${exampleSection(example)}`).join('')}`
  }
  return `# Keys of every step

${GENERATED}

A step is one [kind](README.md) and, beside it, any of these keys.

\`\`\`yaml
steps:
  charge:                       # the id: how other steps and expressions name it
    needs: [review]             # a key of every step
    http: { url: … }            # the kind
    retry: { attempts: 5 }
\`\`\`

An id is a letter or \`_\`, then letters, digits and \`_\`, 63 at most; not \`in\`, \`true\`, \`false\` or \`null\`. It stands once in its scope, and not again inside itself.

${SECTIONS.map(section).join('\n')}`
}
