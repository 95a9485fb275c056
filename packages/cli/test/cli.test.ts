import { spawnSync } from 'node:child_process'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findFreePort } from '@baton/testing'
import t from 'tap'
import { bench } from './bench.ts'

const RUN = {
  id: 'run_1',
  workflow: 'refund',
  version: 2,
  status: 'waiting',
  output: null,
  error: null,
  labels: { team: 'a' },
  createdAt: new Date().toISOString(),
  endedAt: null,
}
const OPTIONS = [
  { id: 'pay', approves: true },
  { id: 'deny', rejects: true },
]
const APPROVAL = {
  id: 'apr_1',
  run: 'run_1',
  status: 'pending',
  title: 'Refund?',
  options: OPTIONS,
  assignees: ['role:admin'],
  decision: null,
  createdAt: RUN.createdAt,
}

t.test('push saves under the name in the file, else that of the file, and goes on after a bad one', async (t) => {
  const errors = [{ pointer: '/steps/a', message: 'no kind', line: 2, column: 3 }]
  const { home, server, output, baton } = await bench(t, ({ path }) =>
    path.endsWith('/bad')
      ? { status: 422, body: { status: 422, code: 'BTN_INVALID_DEFINITION', detail: '1 error in the definition', errors } }
      : { status: 201, body: { name: path.split('/').at(-1), version: 3, checksum: 'x', warnings: [] } },
  )
  await writeFile(join(home, 'bad.yaml'), 'steps: { a: {} }')
  await writeFile(join(home, 'good.yaml'), 'name: refund\nsteps: {}')
  await writeFile(join(home, 'plain.json'), '{"steps":{}}')
  t.equal(await baton(['workflows', 'push', 'bad.yaml', 'good.yaml', 'plain.json']), 1)
  t.same(
    server.requests.map((request) => request.path),
    ['bad', 'refund', 'plain'].map((name) => `/api/v1/workflows/${name}`),
  )
  t.match(
    output.err,
    /bad\.yaml: error: 1 error in the definition \(BTN_INVALID_DEFINITION\)\n {2}\/steps\/a \(line 2, column 3\): no kind/,
  )
  t.equal(output.out, 'refund is at version 3\nplain is at version 3\n')
})

t.test('start sends input, labels and options; --wait ends with 1 unless the run succeeded', async (t) => {
  const { home, server, output, baton } = await bench(t, ({ method }) => ({
    status: method === 'POST' ? 202 : 200,
    body: method === 'POST' ? RUN : { ...RUN, status: 'failed', error: { code: 'BTN_X', message: 'no money', step: 'pay' } },
  }))
  await writeFile(join(home, 'in.yaml'), 'orderId: "7"')
  t.equal(
    await baton(['runs', 'start', 'refund', '--input', '@in.yaml', '--label', 'team:a', '--label', 'x:y:z', '--priority', '9', '--json']),
    0,
  )
  t.match(server.requests[0]?.body, { input: { orderId: '7' }, labels: { team: 'a', x: 'y:z' }, priority: 9 })
  t.match(JSON.parse(output.out), { id: 'run_1' })
  t.equal(await baton(['runs', 'start', 'refund', '--input', '-', '--wait'], { stdin: '{"a":1}' }), 1)
  t.match(server.requests[1]?.body, { input: { a: 1 } })
  t.match(output.out, /run_1 {2}refund 2 {2}failed[\s\S]*error: pay: no money \(BTN_X\)/)
})

t.test('list and show are tables for people and JSON for machines', async (t) => {
  const step = { path: 'review', kind: 'approval', status: 'waiting', attempt: 1, output: null, error: null }
  const why = { step: 'review', reason: 'waits for 1 vote', movableBy: ['role:admin'] }
  const { server, output, baton } = await bench(t, ({ path }) => {
    if (path.includes('/steps')) return { body: { items: [step], nextCursor: null } }
    if (path.includes('/why')) return { body: { items: [why] } }
    return { body: path.startsWith('/api/v1/runs/') ? RUN : { items: [RUN, RUN], nextCursor: 'more' } }
  })
  t.equal(await baton(['runs', 'list', '--status', 'waiting', 'running', '--limit', '3']), 0)
  t.match(server.requests[0]?.path, /status=waiting%2Crunning&limit=3/)
  t.match(output.out, /^RUN +WORKFLOW +STATUS +AGE +LABELS +ERROR\nrun_1 +refund 2 +waiting +\ds +team:a/)
  t.equal(output.out.trim().split('\n').length, 4, 'a heading and as many as asked for')
  t.equal(await baton(['runs', 'list', '--limit', '1', '--json']), 0)
  t.equal(JSON.parse(output.out).length, 1)
  t.equal(await baton(['runs', 'show', 'run_1']), 0)
  t.match(output.out, /review +approval +waiting[\s\S]*Waits for\n {2}review: waits for 1 vote \[role:admin\]/)
})

t.test('approve and reject take the option that approves or rejects, whatever its name', async (t) => {
  const { server, output, baton } = await bench(t, ({ method, body }) => ({
    body: method === 'POST' ? { ...APPROVAL, status: 'decided', decision: (body as { decision: string }).decision } : APPROVAL,
  }))
  t.equal(await baton(['approvals', 'approve', 'apr_1', '--comment', 'fine']), 0)
  t.match(server.requests[1], { path: '/api/v1/approvals/apr_1/decision', body: { decision: 'pay', comment: 'fine' } })
  t.equal(output.out, 'Voted pay on "Refund?"; decided: pay\n')
  t.equal(await baton(['approvals', 'reject', 'apr_1', '--data', '{"a":1}']), 0)
  t.match(server.requests[3]?.body, { decision: 'deny', data: { a: 1 } })
})

t.test('exit codes: 2 for wrong use, 3 when nobody answers, 1 for a problem with its places', async (t) => {
  const { output, baton } = await bench(t, () => ({
    status: 422,
    body: {
      status: 422,
      code: 'BTN_INVALID_INPUT',
      detail: 'the input is wrong',
      errors: [{ pointer: '/input/n', message: 'must be a number' }],
    },
  }))
  t.equal(await baton(['runs', 'start', 'a']), 1)
  t.equal(output.err, 'error: the input is wrong (BTN_INVALID_INPUT)\n  /input/n: must be a number\n')
  t.equal(await baton(['runs', 'strat', 'a']), 2)
  t.match(output.err, /Did you mean start/)
  t.equal(await baton(['runs', 'start', 'a', '--input', '{']), 2)
  t.equal(await baton(['runs', 'start', 'a', '--label', 'nocolon']), 2)
  t.equal(await baton(['workflows', 'push', 'missing.yaml']), 2)
  t.equal(await baton(['--help']), 0)
  t.equal(await baton(['runs', 'list'], { env: { BATON_URL: `http://127.0.0.1:${await findFreePort()}` } }), 3)
  t.match(output.err, /cannot be reached/)
})

t.test('login checks the key, stores it for its owner alone, and later commands use it', async (t) => {
  const { home, server, output, baton } = await bench(t, ({ headers }) =>
    headers.authorization === 'Bearer good'
      ? { body: { items: [], nextCursor: null } }
      : { status: 401, body: { status: 401, code: 'BTN_UNAUTHORIZED', detail: 'unknown' } },
  )
  const none = { BATON_KEY: '', BATON_URL: '' }
  t.equal(await baton(['login', '--url', server.url], { env: none, stdin: 'bad\n' }), 1)
  t.equal(await baton(['runs', 'list'], { env: none }), 2, 'nothing was stored')
  t.equal(await baton(['login', '--url', server.url], { env: none, stdin: 'good\n' }), 0)
  const path = join(home, '.config', 'baton', 'config.json')
  t.same(JSON.parse(await readFile(path, 'utf8')), { url: server.url, key: 'good' })
  t.equal((await stat(path)).mode & 0o777, 0o600)
  t.notMatch(output.out + output.err, /good/, 'the key is not shown')
  t.equal(await baton(['runs', 'list'], { env: none }), 0)
  t.equal(await baton(['runs', 'list'], { env: { BATON_KEY: 'bad' } }), 1, 'the environment wins')
})

t.test('who never logged in uses the .env of the checkout around', async (t) => {
  const { home, server, baton } = await bench(t, () => ({ body: { items: [], nextCursor: null } }))
  await writeFile(join(home, '.env'), `BATON_ADMIN_KEY=from-file\nBATON_URL=${server.url}\n`)
  await mkdir(join(home, 'examples'))
  t.equal(await baton(['runs', 'list'], { env: { BATON_KEY: '', BATON_URL: '' }, cwd: join(home, 'examples') }), 0)
  t.equal(server.requests[0]?.headers.authorization, 'Bearer from-file')
})

t.test('the program runs from its bin', async (t) => {
  const bin = fileURLToPath(new URL('../bin/baton.js', import.meta.url))
  const { status, stdout } = spawnSync(process.execPath, [bin, '--version'], { encoding: 'utf8', env: { PATH: process.env.PATH } })
  t.equal(status, 0)
  t.match(stdout, /^\d+\.\d+\.\d+\n$/)
})

t.test('runs are retried, replayed and forked, one by one or by a filter', async (t) => {
  const items = [
    { run: 'run_1', ok: { ...RUN, id: 'run_2' } },
    { run: 'run_3', problem: { status: 409, code: 'BTN_RUN_STATE', detail: 'no' } },
  ]
  const { server, output, baton } = await bench(t, ({ path }) => ({
    status: 202,
    body: /runs\/(retry|fork)$/.test(path) ? { items } : { ...RUN, forkedFrom: 'run_1' },
  }))
  t.equal(await baton(['runs', 'retry', 'run_1', 'run_2', '--reason', 'x']), 0)
  t.equal(await baton(['runs', 'replay', 'run_1', 'charge', '--reason', 'x', '--config', '{"url":"y"}']), 0)
  t.equal(await baton(['runs', 'fork', 'run_1', '--from', 'charge', '--input', '{"n":1}']), 0)
  t.match(output.out, 'run_1 is a fork of run_1')
  t.equal(await baton(['runs', 'fork', '--workflow', 'refund', '--status', 'failed', '--from', 'charge', '--limit', '5']), 1)
  t.match(output.out, /run_1 {2}run_2\nrun_3 {2}no \(BTN_RUN_STATE\)/)
  t.match(
    server.requests.map(({ path, body }) => [path, body]),
    [
      ['/api/v1/runs/run_1/retry', { reason: 'x' }],
      ['/api/v1/runs/run_2/retry', { reason: 'x' }],
      ['/api/v1/runs/run_1/steps/charge/replay', { reason: 'x', config: { url: 'y' } }],
      ['/api/v1/runs/run_1/fork', { from: 'charge', input: { n: 1 } }],
      ['/api/v1/runs/fork', { filter: { workflow: 'refund', status: ['failed'] }, from: 'charge', limit: 5 }],
    ],
  )
  t.equal(await baton(['runs', 'retry']), 2, 'nobody means all runs by naming none')
  t.equal(server.requests.length, 5)
})

const TASK = {
  id: 'tsk_1',
  run: 'run_1',
  status: 'claimed',
  capabilities: ['ocr'],
  payload: { page: 1 },
  priority: 5,
  claimedBy: 'ann',
  reservedFor: null,
  leaseUntil: '2026-01-01T00:00:00.000Z',
  progress: { percent: 40, note: null, data: null, at: RUN.createdAt },
  error: { code: 'NO', message: 'no' },
  createdAt: RUN.createdAt,
}

t.test('tasks are listed, claimed, worked on and ended', async (t) => {
  const { server, output, baton } = await bench(t, ({ method }) => ({
    body: method === 'GET' ? { items: [TASK], nextCursor: null } : TASK,
  }))
  const last = () => server.requests.at(-1)
  t.equal(await baton(['tasks', 'list', '--capability', 'ocr', '--capability', 'pdf']), 0)
  t.equal(last()!.path, '/api/v1/tasks?status=open&status=claimed&capability=ocr&capability=pdf&limit=50')
  t.match(output.out, /tsk_1 +claimed +ocr +5 +ann +40 %/)
  t.equal(await baton(['tasks', 'claim', '--capability', 'ocr']), 0)
  t.match(last(), { path: '/api/v1/tasks/claim', body: { capabilities: ['ocr'] } })
  t.match(output.out, /tsk_1 is yours until 2026-01-01T00:00:00.000Z; its payload: \{"page":1\}/)
  t.equal(await baton(['tasks', 'claim']), 2, 'which?')
  const rows: [args: string[], call: string, body: object][] = [
    [['claim', 'tsk_1'], 'claim', {}],
    [['progress', 'tsk_1', '--percent', '40', '--note', 'x'], 'progress', { percent: 40, note: 'x' }],
    [['complete', 'tsk_1', '--output', '{"a":1}'], 'complete', { output: { a: 1 } }],
    [['complete', 'tsk_1'], 'complete', { output: null }],
    [['fail', 'tsk_1', '--message', 'no', '--no-retry'], 'fail', { error: { message: 'no' }, retryable: false }],
    [['fail', 'tsk_1', '--message', 'no', '--code', 'X'], 'fail', { error: { message: 'no', code: 'X' }, retryable: true }],
    [['release', 'tsk_1'], 'release', {}],
    [['handoff', 'tsk_1', '--reason', 'r', '--to', 'bob', '--context', '[1]'], 'handoff', { reason: 'r', to: 'bob', context: [1] }],
    [['handoff', 'tsk_1', '--reason', 'r', '--capability', 'pdf'], 'handoff', { reason: 'r', capabilities: ['pdf'] }],
  ]
  for (const [args, call, body] of rows) {
    t.equal(await baton(['tasks', ...args]), 0, args.join(' '))
    t.same([last()!.path, last()!.body], [`/api/v1/tasks/tsk_1/${call}`, body])
  }
})
