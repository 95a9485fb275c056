/** Runs and their events, written as the workflow-runner writes them: rows first, in one commit, then one entry of the live stream. */
import { randomUUIDv7 } from 'node:crypto'
import { ENTRY_FIELD, idOf, keys, type LiveEvent, type StoredEvent } from '@baton/contracts'
import { Redis } from 'ioredis'
import postgres from 'postgres'

const WORKFLOW = 'bench-live'
const NAMESPACE = 'default'
const LANE = 0

/** A run that grows. */
export interface GrowingRun {
  id: string
  topic: string
  seq: number
}

/** Writes runs. */
export interface Publisher {
  /** Runs of one event each. */
  createRuns(count: number): Promise<GrowingRun[]>
  /** Commits the next events of the run and publishes them. */
  publish(run: GrowingRun, count: number): Promise<void>
  close(): Promise<void>
}

/** Opens a publisher on the stores. */
export function openPublisher({ databaseUrl, redisUrl }: { databaseUrl: string; redisUrl: string }): Publisher {
  const sql = postgres(databaseUrl, { max: 4, onnotice: () => {} })
  const redis = new Redis(redisUrl)
  return {
    async createRuns(count) {
      const ids = Array.from({ length: count }, () => randomUUIDv7())
      await sql`
        with made as (
          insert into runs (id, namespace, workflow, version, checksum, status, input, started_by, created_at, updated_at)
          select id, ${NAMESPACE}, ${WORKFLOW}, 1, 'sha256:0', 'running', '{}', 'bench', now(), now() from unnest(${ids}::uuid[]) as id
          returning id)
        insert into run_events (run_id, seq, at, namespace, type, path, data)
        select id, 1, now(), ${NAMESPACE}, 'run.created', '', '{}' from made`
      return ids.map((id) => ({ id, topic: `run:${idOf('run', id)}`, seq: 1 }))
    },
    async publish(run, count) {
      const events = nextEvents(run, count)
      await sql`
        with moved as (update runs set seq = ${events.at(-1)!.seq}, updated_at = now() where id = ${run.id})
        insert into run_events (run_id, seq, at, namespace, type, path, data)
        select ${run.id}, e.seq, now(), ${NAMESPACE}, e.type, e.path, e.data
          from jsonb_to_recordset(${sql.json(events as never)}) as e(seq int, type text, path text, data json)`
      await redis.xadd(keys.events(LANE), 'MAXLEN', '~', 1_000, '*', ENTRY_FIELD, JSON.stringify(events))
    },
    async close() {
      redis.disconnect()
      await sql.end({ timeout: 1 })
    },
  }
}

/** The next events of a run: steps that succeed, with the data that a small http step leaves. */
export function nextEvents(run: GrowingRun, count: number): LiveEvent[] {
  const at = Date.now()
  return Array.from({ length: count }, () => {
    const seq = ++run.seq
    const output = { status: 200, headers: { 'content-type': 'application/json' }, body: { ok: true, value: seq } }
    const data: StoredEvent['data'] = { generation: 0, attempt: 1, startedAt: new Date(at).toISOString(), output }
    return { runId: run.id, seq, type: 'step.succeeded', path: `s${seq}`, at, data, namespace: NAMESPACE, workflow: WORKFLOW }
  })
}
