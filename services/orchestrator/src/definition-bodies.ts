/** How definitions are read: as text, whose errors have a line and a column. */

import type { Json } from '@baton/contracts'
import { DefinitionSyntaxError, type Locate, parseDefinition } from '@baton/engine'
import { problem } from '@baton/runtime'
import type { FastifyInstance } from 'fastify'

/** The body of a route that takes a definition: its text and how it is written. */
export interface DefinitionText {
  text: string
  format: 'json' | 'yaml'
}

export const DEFINITION_TYPES = ['application/json', 'application/yaml']
const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json(?:\s*;|$)/i
const YAML_TYPE = /^(?:application|text)\/(?:x-)?yaml(?:\s*;|$)/i

/** Takes definitions as text, JSON or YAML, on the routes of this scope. */
export function takeDefinitionTexts(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers()
  for (const [type, format] of [
    [JSON_TYPE, 'json'],
    [YAML_TYPE, 'yaml'],
  ] as const) {
    scope.addContentTypeParser(type, { parseAs: 'string' }, (_request, text, done) => done(null, { text, format }))
  }
  scope.addContentTypeParser('*', (_request, _body, done) =>
    done(problem('BTN_MEDIA_TYPE', `this media type is not taken here; send ${DEFINITION_TYPES.join(' or ')}`)),
  )
}

/** Parses a definition; throws DefinitionSyntaxError, also for a missing body. */
export function readDefinition(body: DefinitionText | undefined): { value: Json; locate: Locate } {
  if (!body) throw new DefinitionSyntaxError('the definition is missing', { line: 1, column: 1 })
  return parseDefinition(body.text, body.format)
}

/** The 400 of a text that does not parse. */
export function malformedAt(error: DefinitionSyntaxError): Error {
  const { message, line, column } = error
  return problem('BTN_MALFORMED_BODY', message, { errors: [{ pointer: '', message, line, column }], cause: error })
}
