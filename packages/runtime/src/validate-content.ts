import type { FastifySchemaCompiler } from 'fastify'
import type { z } from 'zod'

/** What a zod schema of a route found wrong; fastify adds which part of the request it was. */
export class InvalidContent extends Error {
  readonly issues: readonly z.core.$ZodIssue[]
  /** Set by fastify: body, querystring, params or headers. */
  validationContext = ''
  constructor(issues: readonly z.core.$ZodIssue[]) {
    super('the request is invalid')
    this.name = 'InvalidContent'
    this.issues = issues
  }
}

/** Lets routes declare zod schemas; keeps zod's own issues, so that each error can be told with its place. */
export const validateContent: FastifySchemaCompiler<z.ZodType> = ({ schema }) => {
  return (data: unknown) => {
    const parsed = parseContent(schema, data)
    return parsed.success ? { value: parsed.data } : { error: new InvalidContent(parsed.error.issues) }
  }
}

/** As `safeParse`, for what a request brought: what is missing or of another type is told in words of users. A schema's own message wins. */
export function parseContent<Schema extends z.ZodType>(schema: Schema, data: unknown): z.ZodSafeParseResult<z.output<Schema>> {
  return schema.safeParse(data, { error: wordOf })
}

/** Undefined leaves the words to zod. */
function wordOf(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return wordOfType(issue.expected, issue.input)
    case 'invalid_value':
      return wordOfValue(issue.values, issue.input)
    case 'invalid_union':
      return wordOfUnion(issue as UnionIssue)
    default:
      return undefined
  }
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  object: 'an object',
  record: 'an object',
  array: 'a list',
  boolean: 'true or false',
  null: 'null',
}

function wordOfType(expected: string, found: unknown): string | undefined {
  const wanted = TYPES[expected]
  if (wanted === undefined) return found === undefined ? 'is required' : undefined
  if (found === undefined) return `is required: send ${wanted}`
  // 1.5 is no whole number, and NaN is what a text in a query became.
  if (typeof found === 'number' && (expected === 'int' || expected === 'number')) return `must be ${wanted}`
  return `must be ${wanted}, not ${nameOf(found)}`
}

function nameOf(found: unknown): string {
  if (found === null) return 'null'
  if (Array.isArray(found)) return 'a list'
  return typeof found === 'object' ? 'an object' : `a ${typeof found}`
}

function wordOfValue(values: readonly unknown[], found: unknown): string {
  const sendable = values.filter((value) => value !== undefined)
  const wanted = sendable.map((value) => (typeof value === 'bigint' ? String(value) : JSON.stringify(value))).join(' or ')
  return found === undefined ? `is required: send ${wanted}` : `must be ${wanted}`
}

interface UnionIssue {
  input?: unknown
  /** Of a union that is told apart by a member: which, and what it may be. */
  discriminator?: string
  options?: readonly unknown[]
}

function wordOfUnion({ input, discriminator, options = [] }: UnionIssue): string | undefined {
  if (discriminator !== undefined) return wordOfValue(options, (input as Record<string, unknown>)[discriminator])
  return input === undefined ? 'is required' : undefined
}
