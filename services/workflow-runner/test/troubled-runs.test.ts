/** Runs that cannot be committed or decided, beside those that can. */
import type { Sql } from '@baton/store'
import { testDatabase, until } from '@baton/testing'
import t, { type Test } from 'tap'
import { createAdvanceLoop, type Item } from '../src/advance-loop.ts'
import { createRunner, eventsOf, saveWorkflow, startOf, startRuns } from './advance-harness.ts'

const TWO = { timeout: '1h', steps: { a: { set: { x: 1 } }, b: { needs: ['a'], wait: { for: '1h' } } } }
const PATIENCE = { triesMax: 4, pauseMs: 20, pauseMsMax: 80 }

/** A trigger that raises when the run writes an event of this type. */
async function spoil(sql: Sql, runId: string, type: string, sqlstate = 'XX000'): Promise<void> {
  await sql.unsafe(`
    create function spoil() returns trigger language plpgsql as $$ begin
      if new.run_id = '${runId}' and new.type = '${type}' then raise exception 'cache lookup failed' using errcode = '${sqlstate}'; end if;
      return new;
    end $$;
    create trigger spoil before insert on run_events for each row execute function spoil()`)
}

async function setup(t: Test, count: number) {
  const { sql } = await testDatabase(t)
  const plan = await saveWorkflow(sql, 'two', TWO)
  const ids = await startRuns(sql, 'two', TWO, count)
  const runner = createRunner(sql, [plan])
  let commits = 0
  const { commit } = runner.store
  runner.store.commit = (batch) => {
    commits++
    return commit(batch)
  }
  const loop = createAdvanceLoop(runner, 100, PATIENCE)
  t.teardown(() => loop.stop())
  const done = new Set<string>()
  const itemOf = (runId: string): Item => ({ deliveries: [startOf(runId)], done: () => void done.add(runId) })
  return { sql, ids, runner, loop, done, itemOf, commits: () => commits }
}

async function runsBy(sql: Sql): Promise<Record<string, number>> {
  const rows = await sql<{ status: string; n: number }[]>`select status, count(*) as n from runs group by status`
  return Object.fromEntries(rows.map(({ status, n }) => [status, n]))
}

t.test('a run that Postgres fails on is found, tried a few times and ended with a reason; the others of its batch go on', async (t) => {
  const { sql, ids, loop, done, itemOf, commits } = await setup(t, 30)
  const bad = ids[17]!
  await spoil(sql, bad, 'step.waiting')
  await loop.offer(ids.map(itemOf))
  await until(() => done.size >= 29)
  t.same([done.has(bad), await runsBy(sql)], [false, { queued: 1, waiting: 29 }], 'the others did not wait for it')
  await until(() => done.has(bad))
  t.same(await runsBy(sql), { failed: 1, waiting: 29 })
  const [run] = await sql`select error from runs where id = ${bad}`
  t.match(run!.error, { code: 'BTN_INTERNAL', message: /4 times/ })
  t.equal(commits(), 1 + PATIENCE.triesMax, 'bounded tries')
  t.equal((await sql`select from timers where run_id = ${bad}`).length, 0)
})

t.test('of two at fault both are found; one that is alone is ended too', async (t) => {
  for (const count of [1, 8]) {
    const { sql, ids, loop, done, itemOf } = await setup(t, count)
    await spoil(sql, ids[0]!, 'step.waiting', '42P17')
    await loop.offer(ids.map(itemOf))
    await until(() => done.size === count)
    t.match(await runsBy(sql), { failed: 1 }, `of ${count}`)
  }
})

t.test('what stops every run ends none of them, and all go on when it has passed', async (t) => {
  const { sql, ids, loop, done, itemOf, commits } = await setup(t, 6)
  await sql.unsafe('alter table approvals rename to elsewhere') // no statement of ours goes through: 42P01
  await loop.offer(ids.slice(0, 3).map(itemOf))
  await until(() => commits() >= 3)
  await sql.unsafe('alter table elsewhere rename to approvals')
  await until(() => done.size === 3)
  t.same(await runsBy(sql), { waiting: 3, queued: 3 })
  await sql.unsafe(`
    create function fail_all() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
    create trigger fail_all before insert on run_events for each row execute function fail_all()`)
  const before = commits()
  await loop.offer(ids.slice(3).map(itemOf))
  await until(() => commits() > before + PATIENCE.triesMax + 2)
  await sql.unsafe('drop trigger fail_all on run_events')
  await until(() => done.size === 6)
  t.same(await runsBy(sql), { waiting: 6 })
})

t.test('what comes for a run that rests waits with it, and the rest of its entry does not', async (t) => {
  const { sql, ids, loop, done, itemOf, runner } = await setup(t, 3)
  const [bad, good, other] = ids as [string, string, string]
  await spoil(sql, bad, 'step.waiting')
  await loop.offer([itemOf(bad)])
  await until(() => runner.states.size === 0 && done.size === 0)
  let mixed = 0
  await loop.offer([{ deliveries: [startOf(bad), startOf(good)], done: () => void mixed++ }, itemOf(other)])
  await until(() => done.has(other))
  await until(async () => (await eventsOf(sql, good)).length > 1)
  t.equal(mixed, 0, 'not acknowledged before all of it is applied')
  await sql.unsafe('drop trigger spoil on run_events')
  await until(() => mixed === 1 && done.has(bad))
  t.same(await runsBy(sql), { waiting: 3 }, 'it was tried again before it was given up')
})

t.test('a loop that ends lets go of what rests: it comes again elsewhere', async (t) => {
  const { sql, ids, loop, runner } = await setup(t, 1)
  await spoil(sql, ids[0]!, 'step.waiting')
  const outcome = Promise.withResolvers<string>()
  let decided = 0
  const { commit } = runner.store
  runner.store.commit = (batch) => {
    decided++
    return commit(batch)
  }
  await loop.offer([{ deliveries: [startOf(ids[0]!)], done: () => outcome.resolve('done'), failed: () => outcome.resolve('failed') }])
  await until(() => decided > 0)
  await loop.stop()
  t.equal(await outcome.promise, 'failed')
})
