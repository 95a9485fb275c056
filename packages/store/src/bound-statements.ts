/** Statements that wait for an answer no longer than a caller of ours may wait. */
import type { PendingQuery, ReservedSql, Row } from 'postgres'
import type { Sql } from './connect.ts'
import { StatementTimeout } from './errors.ts'
import type { Sockets } from './open-socket.ts'

/** Of a query of postgres.js: `handler` is called once when somebody waits for it, `resolve` and `reject` settle it. */
type Internals = Omit<PendingQuery<Row[]>, 'state'> & {
  /** The server it was sent to. */
  state: unknown
  handler?(query: Internals): unknown
  resolve(value: unknown): void
  reject(reason: unknown): void
}

/**
 * The same pool, whose statements are rejected with StatementTimeout after `waitMs`, those that still wait for a connection included (they are
 * then never sent). A connection that was silent for as long is ended: it may be to a server that is gone for good.
 */
export function boundStatements<T extends Sql | ReservedSql>(sql: T, waitMs: number, sockets: Sockets): T {
  const bound = <Q>(query: Q): Q => {
    limit(query as Internals, waitMs, sockets)
    return query
  }
  // Copied, not a proxy: each statement would pass its traps, and code that is called through one is never inlined.
  const call = (...args: unknown[]) => bound((sql as unknown as (...args: unknown[]) => unknown)(...args))
  return Object.assign(call, sql, {
    unsafe: (...args: Parameters<Sql['unsafe']>) => bound(sql.unsafe(...args)),
    reserve: async () => boundStatements(await inTime((sql as Sql).reserve(), waitMs, sockets), waitMs, sockets),
  }) as unknown as T
}

/** A piece of another statement, or a list of values, is never handled by itself. */
function limit(query: Internals, waitMs: number, sockets: Sockets): void {
  const { handler, resolve, reject } = query
  if (typeof handler !== 'function') return
  query.handler = (self) => {
    const timer = setTimeout(() => {
      reject(late(waitMs))
      if (!self.state) makeHarmless(self)
      sockets.endSilent(waitMs)
    }, waitMs)
    query.resolve = (value) => {
      clearTimeout(timer)
      resolve(value)
    }
    query.reject = (reason) => {
      clearTimeout(timer)
      reject(reason)
    }
    return handler(self)
  }
}

/** `cancel` of postgres.js loses the connection that is being made for a statement: so it gets one that does nothing in its place. */
function makeHarmless(query: Internals): void {
  const strings = Object.assign(['select 1'], { raw: ['select 1'] })
  Object.assign(query, { strings, args: [], tagged: true })
}

async function inTime<T>(promise: Promise<T>, waitMs: number, sockets: Sockets): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(late(waitMs))
      sockets.endSilent(waitMs)
    }, waitMs)
  })
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer))
}

const late = (waitMs: number) => new StatementTimeout(`Postgres did not answer within ${waitMs} ms`)
