/** Long runs: from their snapshots they are what they are from their events. */
import { isDeepStrictEqual } from 'node:util'
import { applyEvent, createState, type Plan, type RunState, STATE_SHAPE } from '@baton/engine'
import { deleteLeftSnapshots, deleteSnapshots, loadRuns, putSnapshot, type Sql } from '@baton/store'
import { testDatabase } from '@baton/testing'
import t, { type Test } from 'tap'
import type { Delivery } from '../src/advance.ts'
import { advanceRuns } from '../src/advance-runs.ts'
import { createSnapshotTaker } from '../src/take-snapshots.ts'
import { command, createRunner, eventsOf, type Runner, resultOf, saveWorkflow, startOf, startRuns } from './advance-harness.ts'

const EVERY = 5
const LONG = {
  timeout: '1h',
  steps: [
    ...Array.from({ length: 6 }, (_, n) => ({ id: `a${n}`, http: { url: 'http://x.example/' }, retry: { attempts: 3, jitter: false } })),
    { id: 'pick', switch: { cases: [{ if: 'true', steps: { x: { http: { url: 'http://x.example/' } }, y: { wait: { for: '1h' } } } }] } },
    { id: 'ask', approval: { title: 'Go?' } },
  ],
}

async function setup(t: Test) {
  const { sql: pool } = await testDatabase(t)
  const sql = pool as unknown as Sql
  const plan = await saveWorkflow(sql, 'long', LONG)
  const failures: unknown[] = []
  const open = (how: { snapshots?: boolean } = {}) => {
    const runner = createRunner(sql, [plan])
    const taker = createSnapshotTaker({
      put: (...snapshot) => putSnapshot(sql, ...snapshot),
      remove: (runId) => deleteSnapshots(sql, [runId]),
      onTaken: () => {},
      onFailed: (error) => failures.push(error),
      everyEvents: EVERY,
    })
    runner.store.loadRuns = (ids, options) => loadRuns(sql, ids, { ...options, snapshotsFrom: EVERY })
    if (how.snapshots !== false) runner.committed = taker.committed
    return { runner, taker }
  }
  return { sql, plan, open, failures }
}

const snapshotsOf = (sql: Sql) => sql<{ runId: string; seq: number }[]>`select run_id, seq from run_snapshots order by seq`

/** What a runner has in its memory, and what the events say from the first to the last. */
async function assertSame(t: Test, sql: Sql, plan: Plan, state: RunState) {
  const whole = (await loadRuns(sql, [state.header.runId], { whole: true })).get(state.header.runId)!
  t.equal(whole.events.length, whole.seq)
  const folded = createState(plan, whole.header)
  for (const event of whole.events) applyEvent(folded, event)
  t.ok(isDeepStrictEqual(state, folded), `the same at ${state.seq}`)
}

/** Answers each call, now and then after a failure; a cold runner each time. */
async function drive(runId: string, next: () => Runner, look: (runner: Runner) => Promise<void>): Promise<void> {
  let deliveries: Delivery[] = [startOf(runId)]
  for (let n = 0; deliveries.length > 0 && n < 40; n++) {
    const runner = next()
    await advanceRuns(runner, deliveries)
    await look(runner)
    deliveries = runner.sent.flatMap(({ calls }) => calls).map((call) => resultOf(call))
  }
}

t.test('a run that is loaded from its snapshot goes on as if it had been folded whole', async (t) => {
  const { sql, plan, open, failures } = await setup(t)
  const [id] = await startRuns(sql, 'long', LONG, 1)
  let fewer = 0
  await drive(
    id!,
    () => open().runner,
    async (runner) => {
      await assertSame(t, sql, plan, runner.states.get(id!)!)
      const tail = (await loadRuns(sql, [id!], { snapshotsFrom: EVERY })).get(id!)!
      if (tail.events.length < tail.seq) fewer++
    },
  )
  t.ok(fewer > 5, 'most loads folded a tail alone')
  t.same(failures, [])
  const kept = await snapshotsOf(sql)
  t.equal(kept.length, 1, 'the newest one alone')
  const { runner, taker } = open()
  await advanceRuns(runner, [await command(sql, id!, 'cancel')])
  await taker.settled()
  t.same(await snapshotsOf(sql), [], 'gone with the end of the run')
  t.ok((await eventsOf(sql, id!)).at(-1)!.endsWith('run.cancelled'))
})

t.test('a runner that is killed between the commit and the snapshot leaves nothing wrong', async (t) => {
  const { sql, plan, open } = await setup(t)
  const [id] = await startRuns(sql, 'long', LONG, 1)
  let turn = 0
  await drive(
    id!,
    () => open({ snapshots: ++turn % 3 === 0 }).runner, // the others die before they write
    (runner) => assertSame(t, sql, plan, runner.states.get(id!)!),
  )
  t.ok((await eventsOf(sql, id!)).length > 3 * EVERY)
})

t.test('a snapshot of another shape, of another definition, or broken is ignored', async (t) => {
  const { sql, plan, open } = await setup(t)
  const [id] = await startRuns(sql, 'long', LONG, 1)
  const { runner, taker } = open()
  await advanceRuns(runner, [startOf(id!)])
  await advanceRuns(runner, [resultOf(runner.sent.flatMap(({ calls }) => calls)[0]!)])
  await taker.settled()
  const [snapshot] = await sql`select state, seq from run_snapshots`
  t.ok(snapshot)
  for (const [shape, state] of [
    [0, { ...snapshot!.state, status: 'succeeded' }],
    [STATE_SHAPE, { ...snapshot!.state, checksum: 'sha256:other', status: 'succeeded' }],
    [STATE_SHAPE, { ...snapshot!.state, steps: [{ path: 'nowhere', status: 'running' }] }],
    [STATE_SHAPE, {}],
  ] as const) {
    await sql`update run_snapshots set shape = ${shape}, state = ${JSON.stringify(state)}::text::json`
    const cold = open().runner
    await advanceRuns(cold, [startOf(id!)])
    await assertSame(t, sql, plan, cold.states.get(id!)!)
  }
})

t.test('an older snapshot never replaces a newer one; none is kept of a run that has ended', async (t) => {
  const { sql, open } = await setup(t)
  const [id] = await startRuns(sql, 'long', LONG, 1)
  await putSnapshot(sql, 'default', id!, 20, '{}')
  await putSnapshot(sql, 'default', id!, 10, '{}')
  t.equal((await loadRuns(sql, [id!], { snapshotsFrom: 1 })).get(id!)!.snapshot, undefined, 'none from beyond its last event')
  t.equal((await snapshotsOf(sql)).at(-1)!.seq, 20)
  await advanceRuns(open({ snapshots: false }).runner, [await command(sql, id!, 'cancel')])
  t.ok((await deleteLeftSnapshots(sql, 100)) > 0)
  await putSnapshot(sql, 'default', id!, 30, '{}')
  t.same(await snapshotsOf(sql), [])
})

t.test('snapshots are taken at doubling distances: a run of twice the length costs twice as much, not four times', async (t) => {
  const taken: number[] = []
  const taker = createSnapshotTaker({
    put: async (_, _runId, seq) => void taken.push(seq),
    remove: async () => {},
    onTaken: () => {},
    onFailed: (error) => t.fail(String(error)),
    everyEvents: 10,
  })
  const header = { runId: 'r', namespace: 'default', checksum: 'x', createdAt: 0 }
  const state = createState({ root: { steps: [], byId: new Map() } } as unknown as Plan, header as RunState['header'])
  state.status = 'running'
  for (let fromSeq = 1; fromSeq < 400; fromSeq += 3) {
    state.seq = fromSeq + 3
    taker.committed(state, fromSeq)
    await taker.settled()
  }
  t.strictSame(taken, [10, 22, 40, 82, 160, 322])
})
