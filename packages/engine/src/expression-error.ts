/** Errors of expressions: at run time (a step fails with their code) and when a definition is saved. */
import type { ErrorCode } from '@baton/contracts'

/** An expression could not be evaluated. `code` is BTN_EXPRESSION (bad data) or BTN_EXPRESSION_LIMIT (too much work). Never retried. */
export class ExpressionError extends Error {
  readonly code: Extract<ErrorCode, 'BTN_EXPRESSION' | 'BTN_EXPRESSION_LIMIT'>
  /** True once the message names the expression. */
  located = false
  constructor(message: string, code: 'BTN_EXPRESSION' | 'BTN_EXPRESSION_LIMIT' = 'BTN_EXPRESSION', options?: ErrorOptions) {
    super(message, options)
    this.name = 'ExpressionError'
    this.code = code
  }
}

/** An expression that cannot be parsed or can never work. `offset` is the index of the character in its source where that shows. */
export class ExpressionSyntaxError extends Error {
  readonly offset: number
  constructor(message: string, offset = 0) {
    super(message)
    this.name = 'ExpressionSyntaxError'
    this.offset = offset
  }
}

/** The error of an evaluation that did more work than it may. */
export function limitError(what: string): ExpressionError {
  return new ExpressionError(what, 'BTN_EXPRESSION_LIMIT')
}
