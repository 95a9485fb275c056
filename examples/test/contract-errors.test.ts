/** What the API answers to requests that are wrong: codes, places, order of checks, and who may do what. */
import { type Test, test } from 'tap'
import { type Contract, expectProblem, freshName, must, openContract } from './contract-harness.ts'

test('errors', { timeout: 60_000 }, async (t) => {
  const contract = await openContract(t)
  const { call } = contract
  t.jobs = 1

  await t.test('requests that are wrong are refused with the place', (t) => requests(t, contract))
  await t.test('credentials, roles and namespaces', (t) => access(t, contract))
  await t.test('the order of the checks is 401, 404, 403, 409, 422', (t) => order(t, contract))

  await t.test('wrong routes and methods', async (t) => {
    for (const path of ['/nothing', '/api/v1/nothing', '/api/v2/runs']) {
      expectProblem(t, await call('GET', path), { status: 404, code: 'BTN_NOT_FOUND' }, path)
    }
    for (const [method, path, allowed] of [
      ['DELETE', '/api/v1/runs', ['GET']],
      ['POST', '/api/v1/workflows', ['GET']],
      ['POST', '/api/v1/workflows/x', ['DELETE', 'GET', 'PUT']],
      ['GET', '/api/v1/workflows/x/runs', ['POST']],
      ['PUT', '/status', ['GET']],
      ['PATCH', '/', ['GET']],
    ] as const) {
      const answer = await call(method, path)
      expectProblem(t, answer, { status: 405, code: 'BTN_METHOD_NOT_ALLOWED' }, `${method} ${path}`)
      const allow = (answer.headers.get('allow') ?? '').split(/, */)
      for (const name of allowed) t.ok(allow.includes(name), `${method} ${path} allows ${name}: ${allow}`)
    }
    const head = await call('HEAD', '/')
    t.equal(head.status, 200)
    t.equal(head.body, undefined)
    t.equal((await call('HEAD', '/api/v1/runs')).status, 200)
    t.equal((await call('HEAD', '/api/v1/runs', { key: null })).status, 401)
    t.equal((await call('HEAD', '/nothing')).status, 404)
  })
})

async function requests(t: Test, { call, save }: Contract) {
  const name = freshName()
  await save(name, {
    input: { type: 'object', required: ['n'], properties: { n: { type: 'integer' } }, additionalProperties: false },
    steps: { a: { set: { x: 1 } } },
  })
  const runs = `/api/v1/workflows/${name}/runs`
  const invalid = { status: 422, code: /^BTN_INVALID_(REQUEST|INPUT)$/ }
  for (const [what, body, pointer] of [
    ['input of a wrong type', { input: { n: 'x' } }, '/input/n'],
    ['input that lacks a field', { input: {} }, '/input/n'],
    ['input with an unknown field', { input: { n: 1, m: 2 } }, '/input/m'],
    ['an unknown field', { input: { n: 1 }, colour: 1 }, '/colour'],
    ['labels that are no text', { input: { n: 1 }, labels: { a: 1 } }, '/labels/a'],
    ['a priority beyond 9', { input: { n: 1 }, priority: 10 }, '/priority'],
    ['a version of text', { input: { n: 1 }, version: 'x' }, '/version'],
  ] as const) {
    expectProblem(t, await call('POST', runs, { body }), { ...invalid, pointer }, what)
  }
  const none = await call('POST', runs, { body: { input: { n: 1.5 } } })
  expectProblem(t, none, { ...invalid, code: 'BTN_INVALID_INPUT', pointer: '/input/n' }, 'a schema')
  expectProblem(t, await call('POST', runs, { body: [] }), { ...invalid, pointer: '' }, 'a list as body')
  expectProblem(t, await call('POST', runs, { body: '{"input":' }), { status: 400, code: 'BTN_MALFORMED_BODY' }, 'broken JSON')
  expectProblem(t, await call('POST', runs, { body: 'input: 1', type: 'text/plain' }), { status: 415 }, 'text')
  const large = { input: { n: 1, x: 'x'.repeat(1.1 * 1024 * 1024) } }
  expectProblem(t, await call('POST', runs, { body: large }), { status: 413, code: 'BTN_TOO_LARGE' }, 'an input of 1.1 MiB')
  const batch = await call('POST', `${runs}/batch`, {
    body: { items: [{ input: { n: 1 } }, { input: { n: 1 } }, { input: { n: 1 } }, { input: { n: 'x' } }] },
  })
  expectProblem(t, batch, { ...invalid, pointer: '/items/3/input/n' }, 'one bad item')
  t.equal(must(await call('GET', `/api/v1/runs/count?workflow=${name}`), 200).count, 0, 'and nothing started')
  const tooMany = { items: Array.from({ length: 1001 }, () => ({ input: { n: 1 } })) }
  expectProblem(t, await call('POST', `${runs}/batch`, { body: tooMany }), { ...invalid, pointer: '/items' }, '1 001 items')
  const unknownItem = { items: [{ input: { n: 1 }, colour: 1 }] }
  expectProblem(
    t,
    await call('POST', `${runs}/batch`, { body: unknownItem }),
    { ...invalid, pointer: '/items/0/colour' },
    'an unknown field of an item',
  )

  for (const query of [
    'cursor=nonsense',
    'limit=201',
    'limit=0',
    'limit=x',
    'colour=red',
    'status=odd',
    'since=yesterday',
    'label=nocolon',
  ]) {
    expectProblem(t, await call('GET', `/api/v1/runs?${query}`), { status: 422 }, query)
  }
  const run = must(await call('POST', runs, { body: { input: { n: 1 } } }), 202)
  for (const query of ['limit=1001', 'after=x', 'after=-1']) {
    expectProblem(t, await call('GET', `/api/v1/runs/${run.id}/events?${query}`), { status: 422 }, `events ${query}`)
  }
  expectProblem(t, await call('POST', `${runs}?wait=61s`, { body: { input: { n: 1 } } }), { status: 422 }, 'a wait beyond 60s')
  expectProblem(t, await call('POST', `${runs}?wait=soon`, { body: { input: { n: 1 } } }), { status: 422 }, 'a wait that is none')
  expectProblem(
    t,
    await call('POST', runs, { body: { input: { n: 1 } }, headers: { 'idempotency-key': 'k'.repeat(256) } }),
    { status: 422 },
    'a long key',
  )

  const unknown = 'run_01890000-0000-7000-8000-000000000000'
  for (const path of [
    unknown,
    'run_x',
    'nope',
    `${unknown}/events`,
    `${unknown}/steps`,
    `${unknown}/graph`,
    `${unknown}/why`,
    `${run.id}/steps/nope`,
  ]) {
    expectProblem(t, await call('GET', `/api/v1/runs/${path}`), { status: 404 }, path)
  }
  for (const verb of ['cancel', 'pause', 'resume']) {
    expectProblem(t, await call('POST', `/api/v1/runs/${unknown}/${verb}`), { status: 404, code: 'BTN_RUN_NOT_FOUND' }, verb)
  }
  for (const path of [
    'approvals/apr_x',
    'approvals/apr_01890000-0000-7000-8000-000000000000',
    'workflows/nope',
    `workflows/${name}/versions/9`,
    `workflows/${name}/versions/x`,
    'vars/NOPE',
    'secrets/NOPE',
  ]) {
    expectProblem(t, await call('GET', `/api/v1/${path}`), { status: 404 }, path)
  }
  expectProblem(t, await call('POST', runs, { body: { input: { n: 1 }, version: 9 } }), { status: 404 }, 'an unknown version')
  expectProblem(t, await call('POST', runs, { body: { input: { n: 1 }, tag: 'nope' } }), { status: 404 }, 'an unknown tag')
  const echoed = await call('GET', '/api/v1/runs', { headers: { 'x-request-id': 'my-request-1' } })
  t.equal(echoed.headers.get('x-request-id'), 'my-request-1')
}

async function access(t: Test, contract: Contract) {
  const { call, makeKey, save, rootKey, namespace } = contract
  for (const key of [null, 'wrong', `${rootKey}x`]) {
    const answer = await call('GET', '/api/v1/runs', { key })
    expectProblem(t, answer, { status: 401, code: 'BTN_UNAUTHORIZED' }, `key ${key}`)
    t.ok(answer.headers.get('www-authenticate'), 'WWW-Authenticate')
  }
  const basic = await call('GET', '/api/v1/runs', { key: null, headers: { authorization: `Basic ${rootKey}` } })
  expectProblem(t, basic, { status: 401 }, 'another scheme')
  const name = freshName()
  await save(name, { steps: { a: { set: { x: 1 } } } })
  const run = must(await call('POST', `/api/v1/workflows/${name}/runs`, { body: {} }), 202)
  const keys = Object.fromEntries(
    await Promise.all(['developer', 'operator', 'viewer', 'worker'].map(async (role) => [role, (await makeKey(role)).key])),
  )
  const table: [string, string, unknown, Record<string, boolean>][] = [
    ['GET', '/api/v1/runs', undefined, { developer: true, operator: true, viewer: true }],
    ['PUT', `/api/v1/workflows/${name}`, { steps: { a: { set: { x: 1 } } } }, { developer: true, viewer: false, worker: false }],
    ['POST', `/api/v1/workflows/${name}/runs`, {}, { developer: true, operator: true, viewer: false, worker: false }],
    ['POST', `/api/v1/runs/${run.id}/cancel`, undefined, { viewer: false, worker: false }],
    ['GET', '/api/v1/api-keys', undefined, { developer: false, operator: false, viewer: false, worker: false }],
    ['POST', '/api/v1/api-keys', { name: freshName(), role: 'admin' }, { developer: false, operator: false, viewer: false, worker: false }],
    ['PUT', '/api/v1/secrets/S', { value: 'long-value' }, { viewer: false, worker: false }],
    ['PUT', '/api/v1/vars/V', { value: 1 }, { viewer: false, worker: false }],
  ]
  for (const [method, path, body, may] of table) {
    for (const [role, allowed] of Object.entries(may)) {
      const answer = await call(method, path, { body, key: keys[role] })
      if (allowed) t.ok(answer.status < 300, `${role} may ${method} ${path}: ${answer.status}`)
      else expectProblem(t, answer, { status: 403, code: 'BTN_FORBIDDEN' }, `${role} may not ${method} ${path}`)
    }
  }
  t.notOk(JSON.stringify(must(await call('GET', '/api/v1/api-keys'), 200)).includes(keys.viewer!), 'keys are shown once')

  const foreign = await call('GET', `/api/v1/runs/${run.id}`, { key: rootKey })
  expectProblem(t, foreign, { status: 404, code: 'BTN_RUN_NOT_FOUND' }, 'a run of another namespace')
  const named = await call('GET', `/api/v1/runs/${run.id}`, { key: rootKey, headers: { 'x-baton-namespace': namespace } })
  t.match(named, { status: 200, body: { id: run.id, namespace } }, 'an admin names a namespace')
  const other = await call('GET', '/api/v1/runs', { key: keys.viewer, headers: { 'x-baton-namespace': 'default' } })
  expectProblem(t, other, { status: 403 }, 'others may not')
  expectProblem(
    t,
    await call('GET', '/api/v1/runs', { headers: { 'x-baton-namespace': 'Not A Name' } }),
    { status: 404 },
    'a malformed namespace',
  )

  const revoked = await makeKey('viewer')
  t.equal((await call('GET', '/api/v1/runs', { key: revoked.key })).status, 200)
  t.equal((await call('DELETE', `/api/v1/api-keys/${revoked.id}`)).status, 204)
  expectProblem(t, await call('GET', '/api/v1/runs', { key: revoked.key }), { status: 401 }, 'a revoked key')
  expectProblem(t, await call('DELETE', '/api/v1/api-keys/key_x'), { status: 404 }, 'an unknown key')
  expectProblem(
    t,
    await call('POST', '/api/v1/api-keys', { body: { name: 'x', role: 'king' } }),
    { status: 422, pointer: '/role' },
    'a role that is none',
  )
}

async function order(t: Test, { call, makeKey, save }: Contract) {
  const viewer = (await makeKey('viewer')).key
  const name = freshName()
  await save(name, { steps: { a: { set: { x: 1 } } } })
  const gone = freshName()
  await save(gone, { steps: { a: { set: { x: 1 } } } })
  must(await call('DELETE', `/api/v1/workflows/${gone}`), 204)
  const bad = { colour: 1 }
  expectProblem(t, await call('GET', '/api/v1/runs/nope', { key: null }), { status: 401 }, '401 before 404')
  expectProblem(t, await call('POST', '/api/v1/workflows/nope/runs', { body: bad, key: viewer }), { status: 404 }, '404 before 403')
  expectProblem(t, await call('POST', `/api/v1/workflows/${gone}/runs`, { body: bad, key: viewer }), { status: 403 }, '403 before 409')
  expectProblem(
    t,
    await call('POST', `/api/v1/workflows/${gone}/runs`, { body: bad }),
    { status: 409, code: 'BTN_WORKFLOW_ARCHIVED' },
    '409 before 422',
  )
  expectProblem(t, await call('POST', `/api/v1/workflows/${name}/runs`, { body: bad }), { status: 422 }, '422')
}
