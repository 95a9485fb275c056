/** Tasks: held by one at a time, ended once, and whatever is answered is in the inbox of the run. */
import type { InboxFact } from '@baton/contracts'
import { testDatabase, until } from '@baton/testing'
import { test } from 'tap'
import {
  claimNext,
  commitBatch,
  connect,
  expireLeases,
  getTask,
  listTasks,
  loadInbox,
  moveTask,
  type Sql,
  type TaskCall,
} from '../src/index.ts'
import { commitOf } from './fixtures/runs.ts'
import { COMPLETE, caller, NOTHING, offer, offered } from './fixtures/tasks.ts'

const ALL = Array.from({ length: 16 }, (_, partition) => partition)
const [ANN, BOB] = [caller('ann'), caller('bob')]

const outcomeOf = (move: Awaited<ReturnType<typeof moveTask>>) => (!move ? 'unknown' : 'refused' in move ? move.refused : move.task.status)

function calls(sql: Sql, namespace = 'default') {
  return async (id: string, who: ReturnType<typeof caller>, asked: TaskCall, token?: number) =>
    outcomeOf(await moveTask(sql, { namespace, id, caller: who, asked, token }))
}

async function told(sql: Sql, runId: string): Promise<string[]> {
  const nameOf = (fact: InboxFact) => (fact.kind === 'task-news' ? fact.type : fact.kind)
  return (await loadInbox(sql, [runId])).map(({ fact }) => nameOf(fact))
}

const NO_ONE = { to: null, capabilities: null, reason: 'no', context: null }

const expire = (sql: Sql, id: string) => sql`update tasks set lease_until = now() - interval '1 s' where id = ${id}`

test('of two who claim a task at once, one holds it; 200 times', async (t) => {
  const { sql } = await testDatabase(t)
  const tasks = Array.from({ length: 200 }, (_, i) => offer({ path: `scan[${i}]` }))
  const runId = await offered(sql, tasks)
  const call = calls(sql)
  for (const { id } of tasks) {
    const outcomes = await Promise.all([call(id, ANN, { call: 'claim' }), call(id, BOB, { call: 'claim' })])
    if (outcomes.toSorted().join() !== 'claimed,held') t.fail(`${id}: ${outcomes}`)
  }
  t.equal((await told(sql, runId)).filter((what) => what === 'claimed').length, 200, 'each claim was told once')
  const [row] = await sql`select count(*)::int as n, max(claims) as claims from tasks where status = 'claimed'`
  t.same(row, { n: 200, claims: 1 })
})

test('many who ask for the next task at once never get the same one, and the most urgent comes first', async (t) => {
  const { sql } = await testDatabase(t)
  const tasks = Array.from({ length: 60 }, (_, i) => offer({ path: `scan[${i}]`, priority: i % 10 }))
  await offered(sql, tasks)
  const got = await Promise.all(Array.from({ length: 50 }, (_, i) => claimNext(sql, 'default', caller(`w${i}`), ['ocr', 'pdf'])))
  const ids = got.flatMap((move) => (move ? [move.task.id] : []))
  t.equal(new Set(ids).size, ids.length, 'nobody has the task of another')
  for (let next = await claimNext(sql, 'default', ANN, ['ocr']); next; next = await claimNext(sql, 'default', ANN, ['ocr']))
    ids.push(next.task.id)
  t.equal(new Set(ids).size, 60, 'all were given out')
  await offered(sql, [offer({ path: 'low', priority: 1 }), offer({ path: 'old', priority: 7 }), offer({ path: 'new', priority: 7 })])
  const order = []
  for (let n = 0; n < 3; n++) order.push((await claimNext(sql, 'default', ANN, ['ocr']))!.task.path)
  t.same(order, ['old', 'new', 'low'])
})

test('who claims a task at this moment keeps nobody from the others that he could have claimed', async (t) => {
  const { url } = await testDatabase(t)
  const [sql, other] = [connect(url), connect(url)]
  t.teardown(() => Promise.all([sql.end({ timeout: 1 }), other.end({ timeout: 1 })]))
  await offered(
    sql,
    ['a', 'b', 'c', 'd'].map((capability, i) => offer({ path: capability, capabilities: [capability], priority: 9 - i })),
  )
  const able = ['a', 'b', 'c', 'd']
  // A trigger stops the first claim where it has written and not committed.
  await sql.unsafe(`
    create function stop() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(7); return new; end $$;
    create trigger stop before update on tasks for each row when (old.path = 'a') execute function stop()`)
  const got = await other.begin(async (tx) => {
    await tx`select pg_advisory_xact_lock(7)`
    const first = claimNext(sql, 'default', ANN, able)
    await until(async () => (await tx`select from pg_locks where locktype = 'advisory' and not granted`).length === 1)
    const rest = []
    for (let n = 0; n < 4; n++) rest.push((await claimNext(sql, 'default', BOB, able))?.task.path)
    return { first: [first], rest }
  })
  t.same(got.rest, ['b', 'c', 'd', undefined])
  t.equal((await got.first[0])!.task.path, 'a')
})

test('who asks for the next task gets one that he can do, of his namespace, not reserved for another, of a run that is not paused', async (t) => {
  const { sql } = await testDatabase(t)
  const runId = await offered(sql, [offer({ path: 'both', capabilities: ['ocr', 'pdf'], priority: 9 }), offer({ path: 'one' })])
  await offered(sql, [offer({ priority: 9 })], 'other')
  t.equal(await claimNext(sql, 'default', ANN, ['pdf']), undefined)
  const paused = await offered(sql, [offer({ path: 'paused', priority: 8 })])
  await sql`update runs set status = 'paused' where id = ${paused}`
  t.equal((await claimNext(sql, 'default', ANN, ['ocr']))!.task.path, 'one')
  t.equal((await claimNext(sql, 'default', ANN, ['pdf', 'ocr']))!.task.path, 'both')
  t.equal(await claimNext(sql, 'default', ANN, ['pdf', 'ocr']), undefined)
  const [task] = await sql<{ id: string }[]>`select id from tasks where run_id = ${runId} and path = 'one'`
  const handoff: TaskCall = { call: 'handoff', to: { id: BOB.id, name: 'bob' }, capabilities: null, reason: 'his', context: null }
  t.equal(await calls(sql)(task!.id, ANN, handoff), 'open')
  t.equal(await claimNext(sql, 'default', ANN, ['ocr']), undefined)
  t.equal((await claimNext(sql, 'default', BOB, ['ocr']))!.task.path, 'one')
})

test('a lease that ran out puts the task back, and whoever held it comes too late; also before anybody has looked', async (t) => {
  const { sql } = await testDatabase(t)
  const call = calls(sql)
  const [seen, unseen] = [offer({ path: 'seen' }), offer({ path: 'unseen' })]
  const runId = await offered(sql, [seen, unseen])
  for (const { id } of [seen, unseen]) {
    t.equal(await call(id, ANN, { call: 'claim' }), 'claimed')
    await expire(sql, id)
    if (id === seen.id) t.same(await expireLeases(sql, ALL, 100), { expired: 1, runs: [runId] })
    for (const late of [COMPLETE, { call: 'progress' }, { call: 'release' }] as TaskCall[])
      t.equal(await call(id, ANN, late), 'claim-lost', `${late.call} comes too late`)
    t.equal(await call(id, BOB, { call: 'claim' }), 'claimed')
    t.equal(await call(id, ANN, COMPLETE), 'held')
    t.equal(await call(id, BOB, COMPLETE), 'completed')
  }
  const row = (await getTask(sql, 'default', unseen.id))!
  t.match(row, { claims: 2, leaseExpiries: 1, holderName: 'bob', result: { output: { text: 'hello' } } })
  t.same(await expireLeases(sql, ALL, 100), { expired: 0, runs: [] })
  t.same((await told(sql, runId)).filter((what) => what === 'lease_expired').length, 2)
})

test('a lease that runs out and a completion that comes late: one outcome, 100 times', async (t) => {
  const { sql } = await testDatabase(t)
  const call = calls(sql)
  const tasks = Array.from({ length: 100 }, (_, i) => offer({ path: `scan[${i}]`, leaseMs: 100 + (i % 10) }))
  const runId = await offered(sql, tasks)
  const outcomes = await Promise.all(
    tasks.map(async ({ id, leaseMs }) => {
      await call(id, ANN, { call: 'claim' })
      const [, outcome] = await Promise.all([
        sql`select pg_sleep(${leaseMs / 1_000})`.then(() => expireLeases(sql, ALL, 10)),
        sql`select pg_sleep(${(leaseMs - 2) / 1_000})`.then(() => call(id, ANN, COMPLETE)),
      ])
      return outcome
    }),
  )
  await expireLeases(sql, ALL, 100)
  const rows = await sql<{ id: string; status: string }[]>`select id, status from tasks`
  const statusOf = new Map(rows.map((row) => [row.id, row.status]))
  tasks.forEach(({ id }, i) => {
    const expected = outcomes[i] === 'completed' ? 'completed' : 'open'
    if (statusOf.get(id) !== expected) t.fail(`answered ${outcomes[i]}, and is ${statusOf.get(id)}`)
  })
  const facts = await told(sql, runId)
  const count = (what: string) => facts.filter((fact) => fact === what).length
  t.equal(
    count('task-ended'),
    outcomes.filter((outcome) => outcome === 'completed').length,
    'each completion that was answered is told, once',
  )
  t.equal(count('task-ended') + count('lease_expired'), 100)
})

test('a task is ended once: the same end again is let through and told no more, another one is not', async (t) => {
  const { sql } = await testDatabase(t)
  const call = calls(sql)
  const task = offer()
  const runId = await offered(sql, [task])
  t.equal(await call(task.id, ANN, COMPLETE), 'not-claimed')
  await call(task.id, ANN, { call: 'claim' })
  t.equal(await call(task.id, ANN, COMPLETE, 2), 'claim-lost', 'not with the token of another claim')
  t.same(await Promise.all([call(task.id, ANN, COMPLETE, 1), call(task.id, ANN, COMPLETE)]), ['completed', 'completed'])
  for (const [who, asked, token] of [
    [BOB, COMPLETE],
    [ANN, { call: 'complete', output: 'other' }],
    [ANN, { call: 'fail', error: { code: 'X', message: 'x' }, retryable: true }],
    [ANN, COMPLETE, 2],
    [BOB, { call: 'claim' }],
  ] as [typeof ANN, TaskCall, number?][])
    t.equal(await call(task.id, who, asked, token), 'closed')
  t.same(await told(sql, runId), ['claimed', 'task-ended'])
})

test('a commit that withdraws a task and the end of it: one of both counts, and the run that lost is told so', async (t) => {
  const { sql } = await testDatabase(t)
  const call = calls(sql)
  const outcomes = await Promise.all(
    Array.from({ length: 60 }, async () => {
      const task = offer()
      const runId = await offered(sql, [task])
      await call(task.id, ANN, { call: 'claim' })
      const withdraw = commitOf(runId, 2, 3, { beyond: { ...NOTHING, tasksClosed: [task.id] } })
      const [{ won }, answer] = await Promise.all([commitBatch(sql, [withdraw]), call(task.id, ANN, COMPLETE)])
      const row = (await getTask(sql, 'default', task.id))!
      const [run] = await sql<{ seq: number }[]>`select seq from runs where id = ${runId}`
      if (won.has(runId) === (answer === 'completed')) t.fail(`both or none: ${won.has(runId)}, ${answer}`)
      t.same([row.status, run!.seq], won.has(runId) ? ['cancelled', 3] : ['completed', 2])
      return answer
    }),
  )
  t.ok(outcomes.length === 60)
})

test('progress keeps the lease, and only some of it is told', async (t) => {
  const { sql } = await testDatabase(t)
  const call = calls(sql)
  const task = offer()
  const runId = await offered(sql, [task])
  await call(task.id, ANN, { call: 'claim' })
  const before = (await getTask(sql, 'default', task.id))!.leaseUntil!
  await sql`update tasks set lease_until = now() + interval '1 s'`
  for (let n = 1; n <= 30; n++) await call(task.id, ANN, { call: 'progress', percent: n, data: { n } })
  for (const asked of [{ note: 'x' }, {}]) await call(task.id, ANN, { call: 'progress', ...asked })
  const row = (await getTask(sql, 'default', task.id))!
  t.ok(row.leaseUntil! > before)
  t.match(row.progress, { percent: 30, note: 'x', data: { n: 30 } }, 'what is left out stays')
  t.equal((await told(sql, runId)).filter((what) => what === 'progressed').length, 20)
})

test('who claims and gives back in a loop does not fill the events of the run, and what ends the task is told', async (t) => {
  const { sql } = await testDatabase(t)
  const call = calls(sql)
  const task = offer()
  const runId = await offered(sql, [task])
  for (let n = 1; n <= 130; n++) {
    t.equal(await call(task.id, ANN, { call: 'claim' }), 'claimed')
    await call(task.id, ANN, { call: 'progress', percent: n / 2 })
    if (n % 3 > 0) t.equal(await call(task.id, ANN, { call: n % 3 === 1 ? 'release' : 'handoff', ...NO_ONE } as TaskCall), 'open')
    else await expire(sql, task.id)
    if (n % 6 === 0) await expireLeases(sql, ALL, 1)
  }
  t.match(await getTask(sql, 'default', task.id), { claims: 130, progress: { percent: 65 } }, 'the row has the last')
  t.equal(await call(task.id, BOB, { call: 'claim' }), 'claimed')
  t.equal(await call(task.id, BOB, COMPLETE), 'completed')
  const facts = await told(sql, runId)
  const count = (...types: string[]) => facts.filter((fact) => types.includes(fact)).length
  t.same([count('claimed'), count('released', 'handed_off', 'lease_expired'), count('task-ended')], [100, 100, 1])
  t.equal(count('progressed'), 119, 'one of each claim, then those after the hundredth as if it went on')
})

test('lists are newest first, by status and capability, page by page, and stay in their namespace', async (t) => {
  const { sql } = await testDatabase(t)
  const tasks = Array.from({ length: 7 }, (_, i) => offer({ path: `s[${i}]`, capabilities: i % 2 ? ['ocr'] : ['pdf', 'ocr'] }))
  await offered(sql, tasks)
  await offered(sql, [offer()], 'other')
  await calls(sql)(tasks[3]!.id, ANN, { call: 'claim' })
  const paths: string[] = []
  let cursor: string | undefined
  do {
    const page = await listTasks(sql, 'default', { capabilities: ['ocr'], statuses: ['open', 'claimed'] }, { limit: 3, cursor })
    paths.push(...page.items.map((task) => task.path))
    cursor = page.nextCursor ?? undefined
  } while (cursor !== undefined)
  t.same(
    paths,
    [6, 5, 4, 3, 2, 1, 0].map((n) => `s[${n}]`),
  )
  const of = async (filter: Parameters<typeof listTasks>[2]) => (await listTasks(sql, 'default', filter, { limit: 50 })).items.length
  t.same(
    [await of({}), await of({ statuses: ['claimed'] }), await of({ capabilities: ['pdf'] }), await of({ capabilities: ['x'] })],
    [7, 1, 4, 0],
  )
})
