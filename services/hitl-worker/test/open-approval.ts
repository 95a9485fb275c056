/** An approval in Postgres as the runner's commit opens it, and the hitl-worker as a process. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes, randomUUIDv7 } from 'node:crypto'
import { createInterface } from 'node:readline'
import type { Json } from '@baton/contracts'
import type { Sql } from '@baton/store'
import { endProcess, serviceProgram, type Teardown } from '@baton/testing'

export const MASTER_KEY = randomBytes(32).toString('hex')

export interface Opening {
  notify: Json
  notifySecrets?: Json
  /** Seconds from now. */
  deadline?: number
  /** Seconds ago. */
  age?: number
}

/** Writes a waiting run and its pending approval `review`; gives bare ids. */
export async function openApproval(sql: Sql, opening: Opening): Promise<{ approvalId: string; runId: string }> {
  const [runId, approvalId] = [randomUUIDv7(), randomUUIDv7()]
  const json = (value: Json | undefined) => (value === undefined ? null : JSON.stringify(value))
  await sql`
    insert into runs (id, namespace, workflow, version, checksum, status, seq, input, started_by, created_at, updated_at, started_at)
    values (${runId}, 'default', 'refund', 1, 'sha256:0', 'waiting', 5, 'null', 'key:test', now(), now(), now())`
  await sql`
    insert into approvals (id, namespace, run_id, path, generation, workflow, started_by, title, description, data, form, options, assignees,
                           quorum, veto, allow_self, require_comment, notify, notify_secrets, deadline, created_at)
    values (${approvalId}, 'default', ${runId}, 'review', 0, 'refund', 'key:test', 'Refund 250 EUR?', null, 'null', 'null',
            '[{"id":"approve","approves":true},{"id":"reject","rejects":true}]', '{role:operator}', 1, true, false, 'false',
            ${json(opening.notify)}::text::json, ${json(opening.notifySecrets)}::text::json,
            now() + ${opening.deadline ?? null}::float8 * interval '1 s', now() - ${opening.age ?? 0}::float8 * interval '1 s')`
  return { approvalId, runId }
}

/** True when everybody was told. */
export async function isNotified(sql: Sql, approvalId: string): Promise<boolean> {
  const [row] = await sql<{ notifiedAt: number | null }[]>`select notified_at from approvals where id = ${approvalId}`
  return row!.notifiedAt !== null
}

export interface Service {
  url: string
  child: ChildProcess
  lines: string[]
}

/** Starts `src/main.ts` on a free port; resolves when it listens. */
export async function startService(t: Teardown, env: Record<string, string>): Promise<Service> {
  const child = spawn(process.execPath, serviceProgram('hitl-worker'), {
    env: { ...process.env, HOST: '127.0.0.1', PORT: '0', LOG_LEVEL: 'debug', BATON_MASTER_KEY: MASTER_KEY, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => endProcess(child, 'SIGKILL'))
  const lines: string[] = []
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`ended with ${code}:\n${lines.join('\n')}`)))
    createInterface({ input: child.stdout! }).on('line', (line) => {
      lines.push(line)
      const found = /"url":"(http[^"]+)".*"msg":"service listening"/.exec(line)?.[1]
      if (found) resolve(found)
    })
  })
  return { url, child, lines }
}
