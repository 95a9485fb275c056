import { readFileSync } from 'node:fs'
import { durablePostgres, until } from '@baton/testing'
import { test } from 'tap'
import { startOrchestrator } from './start-orchestrator.ts'

/** The server and all that it has started. */
function processesOf(parent: number): number[] {
  const children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim().split(/\s+/).filter(Boolean).map(Number)
  return [parent, ...children]
}

test('with a Postgres that hangs every call is answered with 503 in time, and nothing that was answered with 2xx is lost', async (t) => {
  const postgres = await durablePostgres(t)
  const { put, get, post, save } = await startOrchestrator(t, { DATABASE_URL: postgres.url, BATON_POSTGRES_TIMEOUT_MS: '500' })
  const name = await save({ steps: { nap: { wait: { for: '1h' } } } })
  const before = await post(`/api/v1/workflows/${name}/runs`, { input: {} })
  t.equal(before.status, 202)
  const stopped = processesOf(postgres.pid())
  for (const pid of stopped) process.kill(pid, 'SIGSTOP')
  try {
    const answers = await Promise.all([
      get(`/api/v1/runs/${before.body.id}`),
      get('/api/v1/runs'),
      post(`/api/v1/workflows/${name}/runs`, { input: {} }, { headers: { 'idempotency-key': 'k1' } }),
      put('/api/v1/vars/COLOUR', { value: 'red' }),
    ])
    for (const { status, body, headers } of answers) {
      t.match({ status, body, headers }, { status: 503, body: { code: 'BTN_UNAVAILABLE' }, headers: { 'retry-after': '1' } })
    }
    t.ok(
      answers.some(({ body }) => body.detail.includes('may have happened')),
      'what was sent and not answered is not called undone',
    )
  } finally {
    for (const pid of stopped) process.kill(pid, 'SIGCONT')
  }
  await until(async () => (await get(`/api/v1/runs/${before.body.id}`)).status === 200)
  const again = () => post(`/api/v1/workflows/${name}/runs`, { input: {} }, { headers: { 'idempotency-key': 'k1' } })
  const known = await until(async () => [await again()].find(({ status }) => status < 300))
  t.ok([200, 202].includes(known.status), 'the same key gives one run, whether or not the first call had happened')
  t.equal((await get('/api/v1/runs/count')).body.count, 2)
})
