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

/** The server cannot prove who it is, or speaks no TLS where TLS was asked for. Programs end with `exitCode`: somebody has to change a setting. */
export class TlsRefused extends Error {
  override readonly name = 'TlsRefused'
  readonly code = 'CONNECTION_TLS'
  readonly exitCode = 78
}

/** A pooler in transaction mode that nobody told us of. Programs end with `exitCode`: with the setting that it names all is well. */
export class PoolerUnset extends Error {
  override readonly name = 'PoolerUnset'
  readonly exitCode = 78
  constructor(found: string, options?: ErrorOptions) {
    super(`${found}: set DATABASE_POOLER=transaction, or add pgbouncer=true to DATABASE_URL`, options)
  }
}

/** Postgres did not answer in time. The statement may have been carried out, or be so later. */
export class StatementTimeout extends Error {
  override readonly name = 'StatementTimeout'
  readonly code = 'CONNECTION_TIMEOUT'
}

const CLIENT_CODES = /^(CONNECTION_(CLOSED|DESTROYED|ENDED|TLS|TIMEOUT)|CONNECT_TIMEOUT)$/
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

/** True when a server between us and Postgres refused what Postgres would have taken at the start of a session. */
export function isPoolerRefusal(error: unknown): boolean {
  return codeOf(error) === '08P01' && /unsupported startup parameter/.test((error as Error).message)
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
