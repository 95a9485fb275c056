/** SIGKILL of the runner, the http-worker and the orchestrator while services call back: every step ends once, with the callback that was taken. */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Json } from '@baton/contracts'
import { endProcess, findFreePort, serviceProgram, stubServer, until } from '@baton/testing'
import t, { type Test } from 'tap'
import { saveWorkflow, startRuns } from './advance-harness.ts'
import { openWorld } from './kill-harness.ts'

const SERVICES = ['workflow-runner', 'http-worker', 'orchestrator'] as const
const RUNS = 60
const KILLS = 6
const SETTINGS = {
  HOST: '127.0.0.1',
  LOG_LEVEL: 'fatal',
  BATON_ADMIN_KEY: 'test-admin-key-0123456789',
  BATON_MASTER_KEY: '0'.repeat(64),
  BATON_HTTP_ALLOW: '127.0.0.0/8',
  RUNNER_SWEEP_MS: '500',
  RUNNER_LEASE_MS: '500',
}

interface Post {
  body: string
  status: number
}

/** Posts until somebody answers; each try has a body of its own. */
async function callBack(to: string, posts: Post[]): Promise<void> {
  for (;;) {
    const body = `try ${posts.length}`
    const sent: Post = { body, status: 0 }
    posts.push(sent)
    const response = await fetch(to, { method: 'POST', headers: { 'content-type': 'text/plain' }, body }).catch(() => undefined)
    await response?.body?.cancel().catch(() => {})
    sent.status = response?.status ?? 0
    if (sent.status === 202 || sent.status === 409) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** A service that calls back before it answers, right after, or a little later; `posts` by the run. */
async function serve(t: Test) {
  const posts = new Map<string, Post[]>()
  const addresses = new Map<string, Set<string>>()
  const under = new Set<Promise<void>>()
  const stub = await stubServer(t, async ({ body }, index) => {
    const { run, to } = body as { run: string; to: string }
    const own = posts.get(run) ?? []
    posts.set(run, own)
    addresses.set(run, (addresses.get(run) ?? new Set()).add(to))
    const called = index % 3 === 2 ? new Promise((resolve) => setTimeout(resolve, 300)).then(() => callBack(to, own)) : callBack(to, own)
    under.add(called)
    if (index % 3 === 0) await called
    return { status: 202, body: { index } }
  })
  return { stub, posts, addresses, settled: () => Promise.all(under) }
}

t.test('callbacks among kills', { timeout: 240_000 }, async (t) => {
  const { sql, urls, facts } = await openWorld(t)
  const service = await serve(t)
  const ports = { 'workflow-runner': await findFreePort(), 'http-worker': await findFreePort(), orchestrator: await findFreePort() }
  const running = new Map<string, ChildProcess>()
  t.teardown(() => Promise.all([...running.values()].map((child) => endProcess(child, 'SIGKILL'))))
  async function begin(name: (typeof SERVICES)[number]) {
    const own = { DATABASE_URL: urls.database, REDIS_URL: urls.redis, PORT: `${ports[name]}` }
    const env = { ...process.env, ...SETTINGS, ...own, BATON_PUBLIC_URL: `http://127.0.0.1:${ports.orchestrator}` }
    running.set(name, spawn(process.execPath, serviceProgram(name), { env, stdio: ['ignore', 'ignore', 'inherit'] }))
    const isReady = async () => (await fetch(`http://127.0.0.1:${ports[name]}/ready`).catch(() => null))?.ok === true
    await until(isReady, { timeoutMs: 30_000, what: `${name} to be ready` })
  }
  await Promise.all(SERVICES.map(begin))

  const request = { method: 'POST', url: service.stub.url, body: { run: '${{ run.id }}', to: '${{ callback.url }}' }, callback: true }
  const FLOW = {
    steps: {
      a: { http: request, retry: { attempts: 5, initial: '50ms' } },
      b: { set: { got: '${{ steps.a.output.body }}' } },
    },
    output: '${{ steps.b.output.got }}',
  }
  await saveWorkflow(sql, 'calls', FLOW)
  const runs: string[] = []
  const count = async () => {
    const [row] = await sql<[{ ended: number; received: number }]>`
      select (select count(ended_at)::int from runs) as ended, (select count(*)::int from callbacks where outcome = 'received') as received`
    return row
  }
  for (let kill = 0; kill < KILLS; kill++) {
    const more = await startRuns(sql, 'calls', FLOW, RUNS / KILLS)
    runs.push(...more)
    const before = await count()
    for (const runId of more) await facts.send({ kind: 'start', runId })
    await until(async () => (await count()).received >= before.received + 2, { timeoutMs: 60_000, what: `callbacks before kill ${kill}` })
    const victim = SERVICES[kill % SERVICES.length]!
    await endProcess(running.get(victim)!, 'SIGKILL')
    await begin(victim)
  }
  await until(async () => (await count()).ended === RUNS, { timeoutMs: 120_000, what: 'the end of all runs' })
  await service.settled()

  t.same(await sql`select status, count(*)::int as n from runs group by 1`, [{ status: 'succeeded', n: RUNS }])
  t.same(await sql`select from inbox`, [])
  const outputs = await sql<{ id: string; output: Json }[]>`select id, output from runs`
  for (const { id, output } of outputs) {
    const posts = service.posts.get(`run_${id}`)!
    const taken = posts.filter(({ status }) => status === 202)
    t.ok(taken.length <= 1, `${id}: at most one was told that it counts`)
    // One whose answer was lost may be the one that was taken.
    const candidates = taken.length === 1 ? taken : posts
    t.ok(
      candidates.some(({ body }) => body === output),
      `${id}: ${output} of ${JSON.stringify(posts)}`,
    )
    t.equal(service.addresses.get(`run_${id}`)!.size, 1, `${id}: every try brought the same address`)
  }
  const twice = await sql`
    select run_id, type from run_events where type in ('callback.received', 'step.succeeded') group by run_id, type, path having count(*) > 1`
  t.same(twice, [])
})
