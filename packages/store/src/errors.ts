/** What can go wrong in the store, and how to tell. */

/** A cursor that no list gave out. */
export class InvalidCursor extends Error {
  override readonly name = 'InvalidCursor'
  constructor() {
    super('the cursor is not one that this list gave out')
  }
}

/** The connection of a transaction is gone, or the pool was closed. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost'
  readonly code = 'CONNECTION_CLOSED'
}

const CLIENT_CODES = /^(CONNECTION_(CLOSED|DESTROYED|ENDED)|CONNECT_TIMEOUT)$/
const SOCKET_CODES =
  /^(ECONNRESET|ECONNREFUSED|ECONNABORTED|EPIPE|ETIMEDOUT|EHOSTUNREACH|EHOSTDOWN|ENETUNREACH|ENETDOWN|ENOTFOUND|EAI_AGAIN|ENOENT)$/
/** Connections, rolled back, no resources, not in the needed state, operators at work, the system underneath. */
const TRANSIENT_CLASSES = /^(08|40|53|55|57|58)\w{3}$/
const SERVER_CODES = /^(08\w{3}|57P0[1-5]|40003|53300)$/

/**
 * True when Postgres went away under the statement: it may have been applied or not. Drop what was assumed, load again, and decide again.
 * (A connection that was never made counts too: nothing is lost by looking again.)
 */
export function isUnknownOutcome(error: unknown): boolean {
  const code = codeOf(error)
  return CLIENT_CODES.test(code) || SOCKET_CODES.test(code) || SERVER_CODES.test(code)
}

/** True when it is the server's state that stands in the way (a lost race, no room, a restart) and the same statement may pass a little later. */
export function isTransient(error: unknown): boolean {
  return isUnknownOutcome(error) || TRANSIENT_CLASSES.test(codeOf(error))
}

/** True when Postgres refused a value of the statement (U+0000, a lone surrogate, a violated check, an oversized row): the same one fails again. */
export function isValueRefused(error: unknown): boolean {
  return /^(22|23|54)\w{3}$/.test(codeOf(error))
}

/** True for a violation of a unique index, of the one named when a name is given. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  if (codeOf(error) !== '23505') return false
  return constraint === undefined || (error as { constraint_name?: string }).constraint_name === constraint
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : ''
}
