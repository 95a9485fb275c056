import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres as startEmbedded } from '@baton/embedded'
import postgres from 'postgres'
import { guardProcess } from './guard-process.ts'
import type { Teardown } from './test-database.ts'
import { until } from './until.ts'

/** A PostgreSQL with fsync on that keeps its data and its port over restarts; for tests that take it away. */
export interface DurablePostgres {
  url: string
  /** Of the server as it runs now. */
  pid(): number
  /** Stops it, `fast` as an administrator would or `immediate` as a crash does, keeps it away for `awayMs`, and resolves when it serves again. */
  restart(how: 'fast' | 'immediate', awayMs?: number): Promise<void>
  /** `pg_terminate_backend` of every other connection; gives how many there were. */
  terminateBackends(): Promise<number>
}

/** Starts the PostgreSQL of the embedded stack on a free port; it ends with the test, with its data. */
export async function durablePostgres(t: Teardown): Promise<DurablePostgres> {
  const directory = mkdtempSync(join(tmpdir(), 'baton-durable-postgres-'))
  chmodSync(directory, 0o755) // as root the server runs as another user, who has to enter it
  const options = { dataDir: join(directory, 'data'), durable: true, settings: { max_connections: '300' } }
  let server = await startEmbedded(options)
  let unguard = guardProcess(server.pid, directory)
  const { url, port } = server
  t.teardown(async () => {
    await server.stop({ remove: true })
    unguard()
    rmSync(directory, { recursive: true, force: true })
  })
  return {
    url,
    pid: () => server.pid,
    async restart(how, awayMs = 0) {
      unguard()
      if (how === 'immediate') await quit(server.pid)
      else await server.stop()
      await new Promise((resolve) => setTimeout(resolve, awayMs))
      server = await startEmbedded({ ...options, port })
      unguard = guardProcess(server.pid, directory)
    },
    async terminateBackends() {
      const sql = postgres(url, { max: 1, onnotice: () => {} })
      try {
        const rows =
          await sql`select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'`
        return rows.length
      } finally {
        await sql.end({ timeout: 1 })
      }
    },
  }
}

/** An immediate shutdown: nothing is written down, the next start recovers from the log. */
async function quit(pid: number): Promise<void> {
  process.kill(pid, 'SIGQUIT')
  await until(() => !isRunning(pid), { timeoutMs: 20_000, what: 'PostgreSQL to end' })
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
