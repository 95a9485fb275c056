/** Whether a pooler stands between us and Postgres that gives each transaction another server, found out by what it does. */
import type { Sql } from './connect.ts'
import { withTransaction } from './connect.ts'
import { PoolerUnset } from './errors.ts'

/** `unknown` = something is in between, and it could not be told what: a pooler of sessions, or one whose servers were all busy. */
export type Pooler = 'none' | 'transaction' | 'unknown'

const STATEMENT_UNKNOWN = /^(26000|42P05)$/
const ANSWER_MS_MAX = 1_000

/**
 * Looks for a pooler in transaction mode that prepared statements do not survive. A server that tells another process id than the connection was
 * given at its start is behind something. Then a statement is prepared, its server given to somebody else, and the statement used again.
 */
export async function findPooler(sql: Sql): Promise<Pooler> {
  const found = await sql`select pg_backend_pid() as pid`.simple()
  if (found[0]?.['pid'] === found.state?.pid) return 'none'
  return (await losesStatements(sql)) ? 'transaction' : 'unknown'
}

/** For the start of a program: throws PoolerUnset where it would later fail at random. */
export async function refuseUnsetPooler(sql: Sql): Promise<void> {
  if (sql.options.prepare === false) return
  if ((await findPooler(sql)) === 'transaction') throw new PoolerUnset('DATABASE_URL leads through a pooler in transaction mode')
}

async function losesStatements(sql: Sql): Promise<boolean> {
  const mine = await sql.reserve()
  const ask = async () => {
    await mine`select ${1}::int as asked`
    return false
  }
  let again: Promise<boolean> | undefined
  try {
    await ask()
    return await withTransaction(sql, async (tx) => {
      await tx`select 1`.simple() // a pooler gives the server that was free last, which is ours
      again = ask()
      // With one server in all there is no answer before the end of this transaction.
      return await Promise.race([again, new Promise<false>((resolve) => setTimeout(resolve, ANSWER_MS_MAX, false))])
    })
  } catch (error) {
    if (STATEMENT_UNKNOWN.test(String((error as { code?: unknown }).code))) return true
    throw error
  } finally {
    await again?.catch(() => {})
    mine.release()
  }
}
