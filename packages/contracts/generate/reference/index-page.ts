/** docs/reference/README.md: where everything stands. */
import { runningKinds } from '../../src/definition-keys.ts'
import { KIND_SUMMARIES } from '../../src/meanings.ts'
import { GENERATED } from './tables.ts'

/** The page. */
export function indexPage(): string {
  const rows = runningKinds().map((kind) => `| [\`${kind}\`](${kind}.md) | ${KIND_SUMMARIES[kind]} |`)
  return `# Reference

${GENERATED}

What may stand in a workflow, key by key. The pages are generated from the schema that checks definitions, and every example in them is run by a test against the whole stack, so what they
say is what happens: the [head of an example](../../examples/README.md) tells what it was given and what came of it. Editors get the same meanings from [workflow.schema.json](../../packages/contracts/schemas/workflow.schema.json).

| page | |
|---|---|
| [The top of a workflow](definition.md) | input, output, timeout, concurrency, versions, limits |
| [Keys of every step](common-keys.md) | name, needs, if, join, timeout, retry, onError, compensate |
| [Expressions](expressions.md) | \`\${{ … }}\`: variables, guards, functions, limits |
| [Error codes](../errors.md) | every code, and what to do |

## Kinds

A step has exactly one.

| kind | what it does |
|---|---|
${rows.join('\n')}

What is to come, and refused until then, stands in [the roadmap](../roadmap.md).

## Patterns

[Saga](../patterns/saga.md) · [Fan-out with partial failure](../patterns/fan-out.md) · [Escalation to other people](../patterns/escalation.md) ·
[Polling an API](../patterns/polling.md) · [Callback](../patterns/callback.md) · [Versioned rollout](../patterns/versioned-rollout.md) · [all of them](../patterns/README.md)

## How to read the tables

| type | means |
|---|---|
| text | text that may hold \`\${{ … }}\` |
| plain text | text that is taken as it stands |
| any JSON | any value; texts in it may hold \`\${{ … }}\` |
| condition | an expression that gives true or false, with or without \`\${{ }}\` |
| duration | \`500ms\`, \`30s\`, \`5m\`, \`24h\`, \`7d\`, or ISO 8601 \`PT5M\`; at most 100 years |
| steps | a map or a list of steps |
| JSON Schema | of the draft 2020-12 |

*Needed there*: required where the object that it stands in is given.

## Coming from elsewhere

| | here |
|---|---|
| Temporal: activity | [\`http\`](http.md) to a service of yours |
| Temporal: signal | [\`waitFor\`](waitFor.md), or an [\`approval\`](approval.md) when people answer |
| Temporal: timer, child workflow, saga | [\`wait\`](wait.md), [\`workflow\`](workflow.md), [\`compensate\`](common-keys.md#compensate) |
| Temporal: workflow code, versioning markers | YAML with [expressions](expressions.md); a run keeps its [version](definition.md), or is [patched](../controls.md#patch) |
| n8n: nodes and connections | steps, connected by what they mention |
| n8n: IF, Switch, Split in Batches, Wait | [\`if\`](common-keys.md#if), [\`switch\`](switch.md), [\`forEach\`](forEach.md), [\`wait\`](wait.md) |
| n8n: Webhook, Schedule trigger | [triggers and schedules](../triggers.md), outside of the workflow |
`
}
