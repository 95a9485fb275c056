/**
 * The statements of a simulation, put to a real Postgres in the order in which the simulated one took them: each has to be answered alike. The
 * clock of that Postgres is told by the simulation: its functions stand before those of the catalog in the search path.
 */
import { isDeepStrictEqual } from 'node:util'
import type { InboxFact, StoredEvent } from '@baton/contracts'
import {
  acceptEvents,
  addToInbox,
  commitBatchBisecting,
  createFork,
  createRuns,
  decideApproval,
  deleteSnapshots,
  dueTimers,
  findActive,
  findStale,
  findUnstarted,
  isCallWanted,
  listEvents,
  loadInbox,
  loadRuns,
  loadSnapshots,
  nextDue,
  putSnapshot,
  type RunCommit,
  type Sql,
} from '@baton/store'
import type { NewFork, Statement } from '@baton/testing/simulate'

const CLOCK = `
  create schema sim;
  create unlogged table sim.clock as select 0::float8 as ms;
  create function sim.clock_timestamp() returns timestamptz language sql volatile as
    $$ select to_timestamp(ms / 1000) from sim.clock $$;
  create function sim.now() returns timestamptz language sql stable as
    $$ select to_timestamp(ms / 1000) from sim.clock $$;
  alter table inbox alter created_at set default sim.now();
  alter table custom_events alter accepted_at set default sim.now();
  alter table runs alter created_at set default sim.now(), alter updated_at set default sim.now()`

/** Turns the clock of the database over to the simulation. `sql` must be a pool of one connection. */
export async function takeClock(sql: Sql): Promise<void> {
  await sql.unsafe(CLOCK)
  await sql.unsafe('set search_path = sim, public, pg_catalog')
  // Transactions have connections of their own.
  await sql`do $$ begin execute format('alter database %I set search_path = sim, public, pg_catalog', current_database()); end $$`
}

/** Replays the statements on empty tables; gives the first that is answered otherwise. */
export async function replay(sql: Sql, statements: readonly Statement[]): Promise<string | undefined> {
  await sql.unsafe(
    'truncate runs, run_events, run_snapshots, inbox, timers, approvals, approval_votes, custom_events, event_waiters, concurrency_slots restart identity cascade',
  )
  for (const [n, { name, args, answer, now }] of statements.entries()) {
    await sql`update sim.clock set ms = ${now}`
    const ask = ANSWERS[name]!
    const [found, expected] = await ask(sql, args, answer, now)
    if (isDeepStrictEqual(plain(found), plain(expected))) continue
    return `statement ${n}, ${name} ${short(args)}: Postgres answers ${short(found)}, the simulation ${short(expected)}`
  }
  return undefined
}

type Ask = (sql: Sql, args: unknown[], answer: unknown, now: number) => Promise<[found: unknown, expected: unknown]>

interface Due {
  runId: string
  path: string
  timer: string
  generation: number
  attempt: number
  dueAt: number
}

const ANSWERS: Record<string, Ask> = {
  async createRun(sql, [header, timeoutMs]) {
    const { runId, createdAt, ...run } = header as { runId: string; createdAt: number } & Omit<Parameters<typeof createRuns>[1][0], 'id'>
    const made = await createRuns(sql, [{ ...run, id: runId, ...(timeoutMs === undefined ? {} : { timeoutMs: timeoutMs as number }) }])
    return [made, { at: createdAt, runs: [{ outcome: 'created', id: runId }] }]
  },
  async createFork(sql, [fork]) {
    const { header, timeoutMs, from, forkedFrom, events } = fork as NewFork
    const { runId, createdAt, ...run } = header
    const bound = timeoutMs === undefined ? {} : { timeoutMs }
    const made = await createFork(sql, { run: { ...run, id: runId, ...bound, forkedFrom }, from, events: [...events], blobs: [] })
    return [made, { at: createdAt, seq: events.length + 2 }]
  },
  async acceptEvents(sql, [events], answer) {
    const { accepted, woken } = await acceptEvents(sql, 'default', events as Parameters<typeof acceptEvents>[2])
    const expected = answer as { accepted: number; woken: string[] }
    return [
      [accepted, woken.sort()],
      [expected.accepted, [...expected.woken].sort()],
    ]
  },
  async commit(sql, [batch], answer) {
    const {
      won,
      at,
      woken = [],
    } = await commitBatchBisecting(
      sql,
      (batch as RunCommit[]).map((commit) => ({ ...commit, namespace: 'default' })),
    )
    const expected = answer as { won: Set<string>; at: number; woken: string[] }
    return [
      [[...won].sort(), Math.round(at), [...woken].sort()],
      [[...expected.won].sort(), expected.at, [...expected.woken].sort()],
    ]
  },
  async addToInbox(sql, [runId, fact]) {
    await addToInbox(sql, 'default', runId as string, fact as InboxFact)
    return [null, null]
  },
  async vote(sql, [id, decision, name], answer) {
    const voter = { id: 'key_voter', name: name as string, role: 'admin', groups: [] }
    const request = { namespace: 'default', approval: { id: id as string }, voter, decision: decision as string, comment: null, data: null }
    const result = await decideApproval(sql, request)
    return [result.outcome === 'voted' && result.decided !== undefined, Boolean(answer)]
  },
  async loadHeaders(sql, [ids], answer) {
    const runs = [...(await loadRuns(sql, ids as string[], { whole: true })).values()]
    const byId = <T extends { header: { runId: string } }>(rows: T[]) => rows.sort((a, b) => (a.header.runId < b.header.runId ? -1 : 1))
    return [byId(runs.map(({ header, seq }) => ({ header, seq }))), byId(answer as { header: { runId: string } }[])]
  },
  async loadEvents(sql, [id, after, seq], answer) {
    const events = await listEvents(sql, id as string, after as number, (seq as number) - (after as number))
    // The trace is that of the run, which readers are given with each event; the simulated Postgres has none.
    return [events.map(({ trace, ...event }) => event), answer as StoredEvent[]]
  },
  loadInbox: async (sql, [ids], answer) => [await loadInbox(sql, ids as string[]), answer],
  async due(sql, [partitions, limit], answer) {
    const { timers } = await dueTimers(sql, partitions as number[], limit as number)
    return [inOrder(timers), inOrder(answer as Due[])]
  },
  async nextInMs(sql, [partitions], answer, now) {
    const { dueAt } = await nextDue(sql, partitions as number[])
    return [dueAt === null ? null : dueAt - now, answer]
  },
  stale: async (sql, args, answer) => [await findStale(sql, ...(args as Rest<typeof findStale>)), answer],
  unstarted: async (sql, args, answer) => [await findUnstarted(sql, ...(args as Rest<typeof findUnstarted>)), answer],
  active: async (sql, args, answer) => [await findActive(sql, ...(args as Rest<typeof findActive>)), answer],
  isWanted: async (sql, [call], answer) => [await isCallWanted(sql, call as Parameters<typeof isCallWanted>[1]), answer],
  async putSnapshot(sql, [runId, seq, text]) {
    await putSnapshot(sql, 'default', runId as string, seq as number, text as string)
    return [null, null]
  },
  async removeSnapshots(sql, [runId]) {
    await deleteSnapshots(sql, [runId as string])
    return [null, null]
  },
  async snapshotOf(sql, [runId, seq], answer) {
    const found = await loadSnapshots(sql, [{ runId: runId as string, seq: seq as number }])
    return [found.get(runId as string), answer === undefined ? undefined : JSON.parse(answer as string)]
  },
}

type Rest<F> = F extends (first: never, ...rest: infer R) => unknown ? R : never

/** Those that are due at the same moment come in any order. */
function inOrder(rows: readonly Due[]): Due[] {
  const fields = ({ runId, path, timer, generation, attempt, dueAt }: Due) => ({ runId, path, timer, generation, attempt, dueAt })
  const key = (row: Due) => `${row.dueAt} ${row.runId} ${row.path} ${row.timer}`
  return rows.map(fields).sort((a, b) => (key(a) < key(b) ? -1 : 1))
}

const plain = (value: unknown): unknown => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)))
const short = (value: unknown) => JSON.stringify(value)?.slice(0, 600)
