/** What can go wrong, as errors. */
import type { Problem, ProblemError } from '@baton/contracts'

/** Baton answered with a problem (RFC 9457). `code` is stable, `errors` point at places of the request. */
export class BatonProblem extends Error {
  override readonly name = 'BatonProblem'
  readonly code: string
  /** HTTP status. */
  readonly status: number
  readonly title: string
  readonly detail: string
  readonly errors: readonly ProblemError[]
  /** Value of `x-request-id`, to be found in the logs. */
  readonly requestId: string | undefined

  constructor(problem: Partial<Problem> & { status: number }, requestId?: string) {
    const title = problem.title ?? `HTTP ${problem.status}`
    super(problem.detail || title)
    this.code = problem.code ?? `HTTP_${problem.status}`
    this.status = problem.status
    this.title = title
    this.detail = problem.detail ?? title
    this.errors = problem.errors ?? []
    this.requestId = requestId
  }
}

/** Nobody answered: connection refused, name unknown, cut, or too late. `cause` has the network error. */
export class BatonUnreachable extends Error {
  override readonly name = 'BatonUnreachable'
  readonly url: string

  constructor(url: string, cause: unknown) {
    super(`${url} cannot be reached: ${reasonOf(cause)}`, { cause })
    this.url = url
  }
}

/** The run had not ended when the time was up. */
export class BatonWaitTimeout extends Error {
  override readonly name = 'BatonWaitTimeout'
}

/** `fetch` hides the reason in causes of causes. */
function reasonOf(cause: unknown): string {
  let deepest = cause
  while (deepest instanceof Error && deepest.cause !== undefined) deepest = deepest.cause
  if (deepest instanceof AggregateError && deepest.errors.length > 0) deepest = deepest.errors[0]
  const code = (deepest as { code?: unknown } | undefined)?.code
  const message = deepest instanceof Error ? deepest.message : String(deepest)
  return message === '' || message === 'undefined' ? String(code ?? 'no answer') : message
}
