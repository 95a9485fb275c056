import type { FastifyInstance } from 'fastify'
import { problem } from './problem.ts'

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json(?:\s*;|$)/i

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
  const position = positionOf(text, cause)
  const message = cause.message
  if (!position) return problem('BTN_MALFORMED_BODY', message, { errors: [{ pointer: '', message }], cause })
  const detail = `line ${position.line}, column ${position.column}: ${message}`
  return problem('BTN_MALFORMED_BODY', detail, { errors: [{ pointer: '', message, ...position }], cause })
}

/** V8 says where in three ways: `at position n`, `(line l column c)`, or not at all when the text ends too soon. */
function positionOf(text: string, error: Error): { line: number; column: number } | undefined {
  let message = error.message
  try {
    JSON.parse(text)
  } catch (again) {
    message = (again as Error).message
  }
  const named = /\(line (\d+) column (\d+)\)/.exec(message)
  if (named) return { line: Number(named[1]), column: Number(named[2]) }
  const at = /at position (\d+)/.exec(message)
  if (!at && !/end of JSON input|Unterminated/i.test(message)) return undefined
  const before = text.slice(0, at ? Number(at[1]) : text.length)
  const line = before.split('\n').length
  return { line, column: before.length - before.lastIndexOf('\n') }
}
