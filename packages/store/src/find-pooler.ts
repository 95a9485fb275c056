/** Whether a pooler stands between us and Postgres that gives each transaction another server, found out by what it does. */
import type { Sql } from './connect.ts'
import { withTransaction } from './connect.ts'
import { PoolerUnset } from './errors.ts'

/** `unknown` = something is in between, and it could not be told what: a pooler of sessions, or one whose servers were all busy. */
export type Pooler = 'none' | 'transaction' | 'unknown'

const ANSWER_MS_MAX = 1_000

/**
 * Looks for a pooler in transaction mode, whose prepared statements are gone with the next transaction. A server that tells another process id than
 * the connection was given at its start is behind something. Then that server is given to somebody else, and the connection asked once more.
 * (Not by using a prepared statement again: postgres.js prepares it anew without a word when it is gone, until that fails under load.)
 */
export async function findPooler(sql: Sql): Promise<Pooler> {
  const found = await sql`select pg_backend_pid() as pid`.simple()
  if (found[0]?.['pid'] === found.state?.pid) return 'none'
  return (await changesServers(sql)) ? 'transaction' : 'unknown'
}

/** For the start of a program: throws PoolerUnset where it would later fail at random. */
export async function refuseUnsetPooler(sql: Sql): Promise<void> {
  if (sql.options.prepare === false) return
  if ((await findPooler(sql)) === 'transaction') throw new PoolerUnset('DATABASE_URL leads through a pooler in transaction mode')
}

async function changesServers(sql: Sql): Promise<boolean> {
  const mine = await sql.reserve()
  const server = async () => (await mine`select pg_backend_pid() as pid`.simple())[0]?.['pid'] as number | undefined
  let again: Promise<number | undefined> | undefined
  try {
    const before = await server()
    return await withTransaction(sql, async (tx) => {
      await tx`select 1`.simple() // a pooler gives the server that was free last, which is ours
      again = server()
      // With one server in all there is no answer before the end of this transaction.
      const after = await Promise.race([again, new Promise<undefined>((resolve) => setTimeout(resolve, ANSWER_MS_MAX, undefined))])
      return after !== undefined && after !== before
    })
  } finally {
    await again?.catch(() => {})
    mine.release()
  }
}
