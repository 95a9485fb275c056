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
    const parsed = schema.safeParse(data)
    return parsed.success ? { value: parsed.data } : { error: new InvalidContent(parsed.error.issues) }
  }
}
