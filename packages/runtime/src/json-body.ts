import type { FastifyInstance } from 'fastify'
import { jsonErrorOffset, placeOf } from './json-offset.ts'
import { problem } from './problem.ts'

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json(?:\s*;|$)/i

const POLLUTING = 'the keys __proto__, and prototype inside of constructor, are not taken'

/** Takes JSON alone (everything else is 415); an empty body is none; what cannot be parsed says where. */
export function parseJsonBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  const parse = app.getDefaultJsonParser('error', 'error')
  app.addContentTypeParser(JSON_TYPE, { parseAs: 'string' }, (request, text, done) => {
    const body = text as string
    if (body.trim() === '') return done(null, undefined)
    parse(request, body, (error, value) => {
      if (error) return done(malformedJson(body, error))
      done(null, value)
    })
  })
}

/** 400 with the line and column where parsing stopped. */
export function malformedJson(text: string, cause: Error): Error {
  // A body that is well-formed but refused has no such place.
  if (isWellFormed(text)) return problem('BTN_MALFORMED_BODY', POLLUTING, { errors: [{ pointer: '', message: POLLUTING }], cause })
  const offset = jsonErrorOffset(text)
  const place = placeOf(text, offset)
  const message = offset >= text.length ? 'the JSON ends too soon' : `unexpected ${JSON.stringify(text[offset])} in JSON`
  return problem('BTN_MALFORMED_BODY', `line ${place.line}, column ${place.column}: ${message}`, {
    errors: [{ pointer: '', message, ...place }],
    cause,
  })
}

function isWellFormed(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
