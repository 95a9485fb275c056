/** RFC 9457 problem details: the only place that builds error bodies. */
import { ERRORS, type ErrorCode, type Problem, type ProblemError } from '@baton/contracts'
import type { z } from 'zod'

const ERRORS_MAX = 100

/** An error that the API answers with; thrown by routes, turned into a body by createService. */
export class ProblemException extends Error {
  readonly code: ErrorCode
  readonly statusCode: number
  readonly errors: ProblemError[] | undefined
  readonly headers: Record<string, string> | undefined
  constructor(code: ErrorCode, detail: string, extra: ProblemExtra = {}) {
    super(detail, extra.cause === undefined ? undefined : { cause: extra.cause })
    this.name = 'ProblemException'
    this.code = code
    this.statusCode = ERRORS[code].status || 500
    this.errors = extra.errors
    this.headers = extra.headers
  }
}

export interface ProblemExtra {
  errors?: ProblemError[] | undefined
  headers?: Record<string, string> | undefined
  cause?: unknown
}

/** `throw problem('BTN_RUN_NOT_FOUND', …)`; `detail` is shown to the caller. */
export function problem(code: ErrorCode, detail: string, extra: ProblemExtra = {}): ProblemException {
  return new ProblemException(code, detail, extra)
}

/** The body of an error answer. `type` is a stable URI that names the code; `instance` is the request's path. */
export function problemBody(error: Pick<ProblemException, 'code' | 'statusCode' | 'message' | 'errors'>, instance: string): Problem {
  return {
    type: `https://baton.dev/errors/${error.code}`,
    title: ERRORS[error.code].title,
    status: error.statusCode,
    detail: error.message,
    code: error.code,
    instance,
    ...(error.errors ? { errors: error.errors } : {}),
  }
}

/** RFC 6901 pointer of a path of keys and indexes. */
export function pointerOf(path: readonly PropertyKey[]): string {
  return path.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}

/** Turns zod's issues into places and sentences; an unknown field is an error at its own place. `at` is the pointer they begin with. */
export function explainIssues(issues: readonly z.core.$ZodIssue[], at: string): ProblemError[] {
  return issues.flatMap((issue) => explainIssue(issue, at)).slice(0, ERRORS_MAX)
}

function explainIssue(issue: z.core.$ZodIssue, at: string): ProblemError[] {
  const pointer = at + pointerOf(issue.path)
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ pointer: pointer + pointerOf([key]), message: `unknown field ${JSON.stringify(key)}` }))
  }
  return [{ pointer, message: issue.message }]
}
