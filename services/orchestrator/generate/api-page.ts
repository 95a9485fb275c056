/** docs/api.md, from what the routes of the orchestrator say of themselves and from the table of roles. */
import { z } from 'zod'
import { ROUTE_ROLES } from '../src/route-roles.ts'
import type { DeclaredRoute } from './declared-routes.ts'

/** Sections in their order: the tag of their routes, their heading, and what is said before the table. */
const SECTIONS: readonly (readonly [tag: string, heading: string, about: string])[] = [
  [
    'workflows',
    'Workflows',
    'Definitions and their versions: [reference](reference/README.md). Tags and the canary: [controls.md](controls.md#canary).',
  ],
  [
    'runs',
    'Runs',
    'What can be done to a run in which state: [controls.md](controls.md). Live events: [fanout](../services/fanout/README.md#the-protocol).',
  ],
  ['approvals', 'Approvals', 'The step that opens them: [`approval`](reference/approval.md).'],
  ['tasks', 'Tasks', 'How a worker uses them: [tasks.md](tasks.md).'],
  ['schedules', 'Schedules', 'With examples: [triggers.md](triggers.md#schedules).'],
  ['triggers', 'Triggers and webhooks', 'With examples: [triggers.md](triggers.md#webhooks).'],
  ['events', 'Events from outside', 'With examples: [triggers.md](triggers.md#events).'],
  ['api-keys', 'API keys', 'With examples: [orchestrator](../services/orchestrator/README.md#api-keys).'],
  ['secrets', 'Secrets', 'Values go in and never come out; steps name them as `${{ secrets.NAME }}`.'],
  ['vars', 'Variables', 'Plain JSON values; expressions read them as `vars.NAME`.'],
  ['audit', 'Audit', 'Who did what to runs: [controls.md](controls.md#who-did-it).'],
  ['status', 'Status', ''],
]

const HEAD = `# The REST API

Generated from the routes of the orchestrator by \`npm run generate\`; do not edit. The running service describes the same in full, with the shapes of all bodies and answers: \`/docs\` for
people, \`/openapi.json\` (OpenAPI 3.1) for programs.

* **Address**: port 8081 of the orchestrator. \`{name}\`, \`{id}\` and the like stand for a part of the address; a step path is percent-encoded (\`each%5B0%5D.call\`).
* **Who**: \`Authorization: Bearer <API key>\`. An admin may call everything; the column names the other [roles](../services/orchestrator/README.md#roles). A key sees its own
  namespace; an admin names another one by \`x-baton-namespace\`.
* **Answers** are JSON. The column *gives* has the statuses of success; others are problems with a \`code\`: [errors.md](errors.md).
* **Lists** take \`limit\` (50 by default, 200 at most, of events 1 000) and \`cursor\`, and give \`{items, nextCursor}\`: ask again with \`cursor=<nextCursor>\` until it is null.
* **Bodies** are JSON unless media types are named. A \`?\` marks what may be left out; a name that is not known is refused (422).
`

/** The whole page as Markdown. Throws when a route belongs to no section. */
export function apiPage(routes: readonly DeclaredRoute[]): string {
  const order = Object.keys(ROUTE_ROLES)
  const place = ({ method, url }: DeclaredRoute) => order.indexOf(`${method} ${url}`)
  const sorted = routes.toSorted((a, b) => place(a) - place(b))
  const homeless = sorted.find(({ tag }) => !SECTIONS.some(([known]) => known === tag))
  if (homeless) throw new Error(`${homeless.method} ${homeless.url}: no section of docs/api.md is for ${homeless.tag}`)
  return `${HEAD}\n${SECTIONS.map(([tag, heading, about]) =>
    section(
      heading,
      about,
      sorted.filter((route) => route.tag === tag),
    ),
  ).join('\n')}
Without a key there are also \`/healthz\`, \`/ready\`, \`/health\` and \`/metrics\`, as with every service.
`
}

function section(heading: string, about: string, routes: readonly DeclaredRoute[]): string {
  const rows = routes.map(
    (route) => `| \`${route.method} ${addressOf(route.url)}\` | ${rolesOf(route)} | ${whatOf(route)} | ${route.statuses.join(', ')} |`,
  )
  return `## ${heading}\n\n${about ? `${about}\n\n` : ''}| route | who | what | gives |\n|---|---|---|---|\n${rows.join('\n')}\n`
}

function addressOf(url: string): string {
  return url.replaceAll(/:(\w+)/g, '{$1}')
}

function rolesOf({ access }: DeclaredRoute): string {
  if (access === 'public') return 'no key'
  const others = access.filter((role) => role !== 'admin')
  return others.length === 0 ? 'admin' : others.join(', ')
}

/** What the route does, what it may be asked by its query, and what its body holds; one cell of a table. */
function whatOf({ summary, description, query, body, mediaTypes }: DeclaredRoute): string {
  const sentences = [`${summary}.`, description, queryOf(query), bodyOf(body, mediaTypes)]
  return sentences.filter(Boolean).join(' ').replaceAll('|', '\\|')
}

/** `limit` and `cursor` are those of every list. */
function queryOf(query: z.ZodType | undefined): string {
  const names = query instanceof z.ZodObject ? Object.keys(query.shape).filter((name) => name !== 'limit' && name !== 'cursor') : []
  return names.length === 0 ? '' : `Query: ${names.map((name) => `\`${name}\``).join(', ')}.`
}

function bodyOf(body: z.ZodType | undefined, mediaTypes: readonly string[]): string {
  if (mediaTypes.length > 0) return `Body: ${mediaTypes.map((type) => `\`${type}\``).join(', ')}.`
  const shapes = body instanceof z.ZodUnion ? body.options : [body]
  const texts = shapes.flatMap((shape) => (shape instanceof z.ZodObject ? [keysOf(shape)] : []))
  return texts.length === 0 ? '' : `Body: ${texts.join(' or ')}.`
}

/** Wide schemas such as \`z.unknown()\` take a missing value too, and are needed all the same. */
function keysOf(shape: z.ZodObject): string {
  const isOptional = (key: z.ZodType) => key instanceof z.ZodOptional || key instanceof z.ZodDefault
  const keys = Object.entries(shape.shape).map(([name, key]) => `${name}${isOptional(key as z.ZodType) ? '?' : ''}`)
  return `\`{${keys.join(', ')}}\``
}
