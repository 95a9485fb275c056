/** docs/reference/<kind>.md: of each kind that this version runs, from its schema, what kind-texts say, and the examples. */
import { type DefinitionKey, runningKeysOf, runningKinds } from '../../src/definition-keys.ts'
import { ERRORS } from '../../src/errors.ts'
import { KIND_SUMMARIES } from '../../src/meanings.ts'
import type { StepKind } from '../../src/states.ts'
import { CALLING_KINDS } from './calling-kinds.ts'
import { type ExampleFile, exampleSection } from './example-files.ts'
import { FLOW_KINDS } from './flow-kinds.ts'
import type { KindError, KindText } from './kind-text.ts'
import { cell, GENERATED, keysTable } from './tables.ts'
import { WAITING_KINDS } from './waiting-kinds.ts'

const TEXTS: Record<StepKind, KindText> = { ...CALLING_KINDS, ...WAITING_KINDS, ...FLOW_KINDS }

/** Path under docs/reference to page. Each example that a page shows is taken out of `unshown`. */
export function kindPages(examples: readonly ExampleFile[], unshown: Set<string>): Record<string, string> {
  const kinds = runningKinds()
  return Object.fromEntries(kinds.map((kind) => [`${kind}.md`, kindPage(kind, examplesOf(kind, kinds, examples), unshown)]))
}

function kindPage(kind: StepKind, examples: readonly ExampleFile[], unshown: Set<string>): string {
  const text = TEXTS[kind]
  for (const { name } of examples) unshown.delete(name)
  return `# \`${kind}\`

${GENERATED}

${KIND_SUMMARIES[kind]}

${text.about}

## Keys

${keysSection(kind, runningKeysOf(kind))}

[Keys of every step](common-keys.md) stand beside \`${kind}\`.

## Output

${outputSection(text.output)}

## What it waits for

${text.waits}

## Errors

${errorsTable(text.errors)}

Each may be tolerated by [\`onError\`](common-keys.md#onerror); [all codes](../errors.md).

## Controls

| control | what it does to the step |
|---|---|
${text.controls.map(([control, effect]) => `| ${control} | ${cell(effect)} |`).join('\n')}

[Moving runs](../controls.md) says when each is taken.
${examples.length > 0 ? `\n## Examples\n\n${examples.map(exampleSection).join('\n')}` : ''}${text.more ? `\n${text.more}\n` : ''}`
}

function keysSection(kind: StepKind, keys: readonly DefinitionKey[]): string {
  return keys.length > 0
    ? keysTable(keys)
    : `Any: \`${kind}\` is an object of your own. Its values are any JSON, with \`\${{ … }}\` in texts.`
}

function outputSection(output: KindText['output']): string {
  if (typeof output === 'string') return output
  const rows = Object.entries(output).map(([field, meaning]) => `| \`${field}\` | ${cell(meaning)} |`)
  return `| field | meaning |\n|---|---|\n${rows.join('\n')}`
}

function errorsTable(errors: readonly KindError[]): string {
  const rows = errors.map(([code, when, isTriedAgain]) => {
    const row = [`[\`${code}\`](../errors.md#${code})`, when, isTriedAgain ? 'yes' : 'no', ERRORS[code].help]
    return `| ${row.map(cell).join(' | ')} |`
  })
  return `| code | when | tried again by \`retry\` without \`on\` | what to do |\n|---|---|---|---|\n${rows.join('\n')}`
}

/** Files that begin with the name of the kind, unless they begin with that of a longer one; and those that its text names. */
function examplesOf(kind: StepKind, kinds: readonly StepKind[], examples: readonly ExampleFile[]): ExampleFile[] {
  const belongs = (name: string, to: StepKind) => name === fileName(to) || name.startsWith(`${fileName(to)}-`)
  return examples.filter(({ name }) => {
    if (TEXTS[kind].examples?.includes(name)) return true
    return belongs(name, kind) && !kinds.some((other) => other.length > kind.length && belongs(name, other))
  })
}

/** `forEach` → `for-each`. */
function fileName(kind: StepKind): string {
  return kind.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
