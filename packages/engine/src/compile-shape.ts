/** Checks one layer of a definition with the schemas of contracts; every problem at its own place, in words of users. */
import { isOverlong, type Json } from '@baton/contracts'
import { type Compilation, report, typeName } from './compilation.ts'
import { escapePointer } from './json-pointers.ts'
import { checkSchema } from './validate-schema.ts'

interface Issue {
  code?: string
  path: PropertyKey[]
  message: string
  keys?: string[]
  errors?: Issue[][]
  expected?: unknown
  values?: unknown[]
}
interface Schema<T> {
  safeParse(value: unknown): { success: true; data: T } | { success: false; error: { issues: unknown[] } }
}

/** The parsed layer, or undefined after its problems were reported under `pointer`. */
export function checkShape<T>(c: Compilation, schema: Schema<T>, value: Json, pointer: string): T | undefined {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issues = result.error.issues as Issue[]
  const shortened = c.stored ? withSaneDurations(value, issues) : undefined
  if (shortened !== undefined) return checkShape(c, schema, shortened, pointer)
  for (const issue of issues) reportIssue(c, issue, [], value, pointer)
  return undefined
}

const LONGEST = '36525d'

/** The layer with its overlong durations, which were once let through, cut to 100 years; undefined when there is something else wrong. */
function withSaneDurations(value: Json, issues: readonly Issue[]): Json | undefined {
  const sane = structuredClone(value)
  for (const { path } of issues) {
    const found = valueAt(sane, path)
    const owner = valueAt(sane, path.slice(0, -1)) as Record<PropertyKey, Json> | undefined
    if (typeof found !== 'string' || !isOverlong(found) || !owner) return undefined
    owner[path.at(-1)!] = LONGEST
  }
  return sane
}

function reportIssue(c: Compilation, issue: Issue, base: PropertyKey[], value: Json, pointer: string): void {
  const path = [...base, ...issue.path]
  const at = pointer + path.map((segment) => `/${escapePointer(String(segment))}`).join('')
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys ?? []) report(c, `${at}/${escapePointer(key)}`, `unknown key ${JSON.stringify(key)}`, { of: 'key' })
    return
  }
  const found = valueAt(value, path)
  if (issue.code === 'invalid_union') {
    const branch = bestBranch(issue.errors ?? [])
    // A branch that got inside the value says more than "none of them fits".
    if (branch?.some((inner) => inner.path.length > 0 || inner.code === 'unrecognized_keys')) {
      for (const inner of branch) reportIssue(c, inner, path, value, pointer)
      return
    }
  }
  report(c, at, found === undefined ? 'is required' : messageOf(issue, found))
}

/** The branch of a union that the value comes closest to. */
function bestBranch(branches: Issue[][]): Issue[] | undefined {
  const score = (issues: Issue[]) => Math.max(0, ...issues.map((issue) => issue.path.length + (issue.code === 'unrecognized_keys' ? 1 : 0)))
  return [...branches].sort((a, b) => score(b) - score(a) || a.length - b.length)[0]
}

function messageOf(issue: Issue, found: Json): string {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${article(String(issue.expected))}, not ${typeName(found)}`
    case 'invalid_value':
      return `must be ${(issue.values ?? []).map((value) => JSON.stringify(value)).join(' or ')}`
    case 'invalid_union':
      return unionMessage(issue.errors ?? [], found)
    default:
      return issue.message.replace(/^(Invalid input|Too small|Too big|Invalid string): /, '')
  }
}

function unionMessage(branches: Issue[][], found: Json): string {
  const messages = branches.map((issues) => (issues[0] ? messageOf(issues[0], found) : ''))
  // Where the type fits one branch, its own complaint is the one that helps.
  const fitting = messages.find((message) => !message.startsWith('must be '))
  if (fitting) return fitting
  const wanted = new Set(messages.map((message) => message.replace(/^must be /, '').replace(/, not .*$/, '')))
  return `must be ${[...wanted].join(' or ')}`
}

function article(expected: string): string {
  const words: Record<string, string> = {
    int: 'a whole number',
    record: 'an object',
    object: 'an object',
    array: 'a list',
    boolean: 'true or false',
  }
  return words[expected] ?? `a ${expected}`
}

function valueAt(value: unknown, path: PropertyKey[]): Json | undefined {
  let at = value
  for (const key of path) at = typeof at === 'object' && at !== null ? (at as Record<PropertyKey, unknown>)[key] : undefined
  return at as Json | undefined
}

/** Reports what is wrong with a JSON Schema of the definition. */
export function checkSchemaAt(c: Compilation, schema: Json | undefined, pointer: string): void {
  if (schema === undefined) return
  for (const problem of checkSchema(schema)) report(c, pointer + problem.pointer, problem.message)
}
