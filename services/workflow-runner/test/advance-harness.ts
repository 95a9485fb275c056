/** A runner's hot path on a real Postgres, with queues that a test can look into and break. */
import { randomUUIDv7 } from 'node:crypto'
import { type Fact, type HttpCall, idOf, type Json } from '@baton/contracts'
import { checksumOf, compile, type Plan, type RunState } from '@baton/engine'
import { createLogger } from '@baton/runtime'
import { addToInbox, commitBatchBisecting, createRuns, getBlobs, loadInbox, loadRuns, putBlobs, putWorkflow, type Sql } from '@baton/store'
import type { Advance, Delivery } from '../src/advance.ts'
import type { Outgoing } from '../src/outgoing.ts'

export interface Runner extends Advance {
  sent: Outgoing[]
  states: Map<string, RunState>
}

/** Saves a definition; gives its plan. */
export async function saveWorkflow(sql: Sql, name: string, definition: object): Promise<Plan> {
  const { plan, errors } = compile(definition as Json, { name })
  if (!plan) throw new Error(JSON.stringify(errors))
  await putWorkflow(sql, {
    namespace: 'default',
    name,
    checksum: checksumOf(definition as Json),
    definition: definition as Json,
    description: null,
    createdBy: 'key_test',
  })
  return plan
}

/** Starts runs of a saved workflow; gives their bare ids. */
export async function startRuns(sql: Sql, name: string, definition: object, count: number, input: Json = {}): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomUUIDv7())
  const checksum = checksumOf(definition as Json)
  await createRuns(
    sql,
    ids.map((id) => ({ id, namespace: 'default', workflow: name, version: 1, checksum, input, startedBy: 'key_test' })),
  )
  return ids
}

/** A runner with a cache of its own. */
export function createRunner(sql: Sql, plans: Plan[]): Runner {
  const states = new Map<string, RunState>()
  const sent: Outgoing[] = []
  return {
    sent,
    states,
    cache: states,
    store: {
      loadRuns: (ids) => loadRuns(sql, ids),
      loadInbox: (ids) => loadInbox(sql, ids),
      commit: (batch) => commitBatchBisecting(sql, batch),
      plan: async (_, checksum) => plans.find((plan) => plan.checksum === checksum) ?? plans[0]!,
      getBlobs: (namespace, blobs) => getBlobs(sql, namespace, blobs),
      putBlobs: (namespace, blobs) => putBlobs(sql, namespace, blobs),
      vars: async () => ({}),
      workflows: async () => new Map(),
    },
    async send(outgoing) {
      sent.push(outgoing)
    },
    now: Date.now,
    random: Math.random,
    newUuid: () => randomUUIDv7(),
    limits: { inlineBytesMax: 65_536, outputBytesMax: 10_000_000, forEachItemsMax: 10_000 },
    log: createLogger({ name: 'test', level: 'silent' }),
  }
}

export const startOf = (runId: string, redelivered = false): Delivery => ({ fact: { kind: 'start', runId }, redelivered })

/** The result of a call, as a http-worker tells it. */
export function resultOf(
  call: Pick<HttpCall, 'runId' | 'path' | 'generation' | 'attempt'>,
  output: Json = { ok: true },
  redelivered = false,
): Delivery {
  const { runId, path, generation, attempt } = call
  const fact: Fact = { kind: 'result', runId, path, generation, attempt, startedAt: Date.now(), outcome: { status: 'succeeded', output } }
  return { fact, redelivered }
}

/** Tells the run of a command through its inbox. */
export async function command(sql: Sql, runId: string, kind: 'cancel' | 'pause' | 'resume'): Promise<Delivery> {
  await addToInbox(sql, 'default', runId, { kind, by: 'key_test' })
  return { fact: { kind: 'inbox', runId }, redelivered: false }
}

/** Events of a run as `seq type path`, from Postgres. */
export async function eventsOf(sql: Sql, runId: string): Promise<string[]> {
  const rows = await sql<
    { seq: number; type: string; path: string }[]
  >`select seq, type, path from run_events where run_id = ${runId} order by seq`
  return rows.map((row) => `${row.seq} ${row.type} ${row.path}`.trim())
}

export const publicId = (runId: string) => idOf('run', runId)
