/** docs/reference/definition.md: the top of a workflow. */
import { topKeys } from '../../src/definition-keys.ts'
import { LIMITS } from '../../src/limits.ts'
import { type ExampleFile, exampleSection } from './example-files.ts'
import { cell, GENERATED, keysTable } from './tables.ts'

const EXAMPLES = ['definition', 'run-timeout', 'concurrency', 'concurrency-reject', 'concurrency-cancel-running', 'concurrency-conflict']
const MIB = 1024 * 1024

const BOUNDS: readonly (readonly [string, string, string, string])[] = [
  ['size of a definition', `${LIMITS.definitionBytesMax / MIB} MiB`, 'BATON_DEFINITION_BYTES_MAX', '413 `BTN_TOO_LARGE`'],
  ['steps, all levels together', `${LIMITS.stepsMax}`, 'BATON_STEPS_MAX', '422'],
  ['levels of containers', `${LIMITS.nestingMax}`, 'BATON_NESTING_MAX', '422'],
  ['items of a `forEach`', `${LIMITS.forEachItemsMax}`, 'BATON_FOR_EACH_ITEMS_MAX', '`BTN_TOO_LARGE`'],
  ['input of a run', `${LIMITS.runInputBytesMax / MIB} MiB`, 'BATON_RUN_INPUT_BYTES_MAX', '413 `BTN_TOO_LARGE`'],
  ['output of a step', `${LIMITS.stepOutputBytesMax / MIB} MiB`, 'BATON_STEP_OUTPUT_BYTES_MAX', '`BTN_OUTPUT_TOO_LARGE`'],
  ['levels of child runs', `${LIMITS.childDepthMax}`, '–', '`BTN_CHILD_DEPTH`'],
]

/** The page. Each example that it shows is taken out of `unshown`. */
export function definitionPage(examples: readonly ExampleFile[], unshown: Set<string>): string {
  const shown = EXAMPLES.map((name) => examples.find((example) => example.name === name)!)
  for (const { name } of shown) unshown.delete(name)
  return `# The top of a workflow

${GENERATED}

A workflow is a YAML 1.2 or JSON document with these keys; one model, whichever of the two you write. \`PUT /api/v1/workflows/{name}\` (or \`baton workflows push\`) saves it as a new version,
unless it is equal to the highest one. Versions never change, and a run keeps the one that it was started with: deploying a new version moves no run that is under way, so nothing like a
patch marker is needed in definitions. [Tags](../patterns/versioned-rollout.md) say which version new runs take.

## Keys

${keysTable(topKeys())}

## Steps: a graph or a sequence

\`steps\` as a **map** is a graph: each step starts when all that it depends on is satisfied, and it depends on every \`steps.x\` that it mentions and on its
[\`needs\`](common-keys.md#needs). What does not depend on each other runs side by side. As a **list**, each item with an \`id\`, it is a sequence: each step also needs the one before.
Both may stand inside containers (\`switch\`, \`forEach\`, \`loop\`), each scope in the form that suits it.

## Input and output

\`input\` is checked when a run starts, and what is wrong is told with a pointer to its place; a start without input has \`{}\`. \`output\` is evaluated when all steps have ended.
It is what a parent's [\`workflow\`](workflow.md) step and \`?wait=\` of a start give. An error in it fails the run without compensations, since all steps had succeeded.

## Errors of the run

\`error\` of a run is \`{ code, message, step?, cause? }\`: \`step\` is the path of the step that failed it. Beside the codes of its steps it may be
[\`BTN_RUN_TIMEOUT\`](../errors.md#BTN_RUN_TIMEOUT), [\`BTN_CONCURRENCY\`](../errors.md#BTN_CONCURRENCY) and [\`BTN_COMPENSATION_FAILED\`](../errors.md#BTN_COMPENSATION_FAILED).

## Limits

| what | at most | setting | error |
|---|---|---|---|
${BOUNDS.map((row) => `| ${row.map(cell).join(' | ')} |`).join('\n')}

## Examples

${shown.map(exampleSection).join('\n')}`
}
