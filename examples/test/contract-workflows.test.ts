/** Saving, checking, versions, tags, archiving, keys, secrets, variables, and what the service says of itself. */
import { type Test, test } from 'tap'
import { judgeDefinitions } from './contract-definitions.ts'
import { type Contract, expectProblem, freshName, type Loose, must, openContract } from './contract-harness.ts'

const SET = { set: { x: 1 } }
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

test('workflows', { timeout: 60_000 }, async (t) => {
  const contract = await openContract(t)
  await t.test('a definition is saved as versions 1, 2, 3 …', (t) => saving(t, contract))
  await t.test('a definition can be checked without saving', (t) => validating(t, contract))
  await t.test('tags point at versions', (t) => tagging(t, contract))
  await t.test('an archived workflow does not start until it is saved again', (t) => archiving(t, contract))
  await t.test('lists are newest first and stable under inserts', (t) => listing(t, contract))
  await t.test('variables and secrets', (t) => values(t, contract))
  await t.test('the service tells what it is', (t) => itself(t, contract))
  await t.test('definitions that are wrong', (t) => judgeDefinitions(t, contract))
})

async function saving(t: Test, { call, save, list }: Contract) {
  const name = freshName()
  const at = `/api/v1/workflows/${name}`
  const first = await call('PUT', at, { body: { description: 'one', steps: { a: SET } } })
  t.match(first, { status: 201, body: { name, version: 1, checksum: /.{8}/, warnings: [] } })
  const again = await call('PUT', at, { body: '# as YAML\nsteps: {a: {set: {x: 1}}}\ndescription: one\n', type: 'application/yaml' })
  t.match(again, { status: 200, body: { name, version: 1, checksum: first.body.checksum } }, 'equal as parsed JSON: the same version')
  t.match(await call('PUT', at, { body: { name, steps: { a: { set: { x: 2 } } } } }), { status: 201, body: { version: 2 } })
  const older = await call('PUT', at, { body: { description: 'one', steps: { a: SET } } })
  t.match(older, { status: 201, body: { version: 3 } }, 'equal to an older one makes a new version')
  t.match(await call('PUT', at, { body: { name: 'other', steps: { a: SET } } }), { status: 422 })
  for (const type of ['application/json; charset=utf-8', 'application/yaml; charset=utf-8']) {
    t.equal((await call('PUT', at, { body: '{"description":"one","steps":{"a":{"set":{"x":1}}}}', type })).status, 200, type)
  }

  const got = must(await call('GET', at), 200)
  t.match(got, { name, version: 3, description: 'one', definition: { steps: { a: SET } }, tags: {} })
  t.match(got.createdAt, TIME)
  t.match(must(await call('GET', `${at}/versions/2`), 200), { version: 2, definition: { steps: { a: { set: { x: 2 } } } } })
  const versions = await list(`${at}/versions?limit=2`)
  t.same(
    versions.map((version) => version.version),
    [3, 2, 1],
  )

  const warned = must(
    await call('PUT', `/api/v1/workflows/${freshName()}`, {
      body: { steps: { ask: { if: 'input.big', approval: { title: 'Ok?' } }, go: { needs: ['ask'], ...SET } } },
    }),
    201,
  )
  t.match(warned.warnings, [{ pointer: /^\/steps\/go/, message: /ask/ }], 'a step behind an approval that may be skipped')
  const required = { step: 'ask', require: 'succeeded' }
  const quiet = await save(freshName(), {
    steps: { ask: { if: 'input.big', approval: { title: 'Ok?' } }, go: { needs: [required], ...SET } },
  })
  t.same(quiet.warnings, [])

  const racer = freshName()
  const raced = await Promise.all(
    Array.from({ length: 10 }, (_, i) => call('PUT', `/api/v1/workflows/${racer}`, { body: { steps: { a: { set: { i } } } } })),
  )
  t.same(
    raced.map((answer) => answer.body.version).sort((a, b) => a - b),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    'savers at once get versions of their own',
  )
}

async function validating(t: Test, { call }: Contract) {
  const at = '/api/v1/workflows/validate'
  const good = await call('POST', at, { body: { name: 'nowhere', steps: { a: SET, b: { set: { y: '${{ steps.a.output.x }}' } } } } })
  t.match(good, { status: 200, body: { valid: true, errors: [], warnings: [], graph: Object } })
  t.match(JSON.stringify(good.body.graph), /"a"[\s\S]*"b"/)
  t.equal((await call('GET', '/api/v1/workflows/nowhere')).status, 404)
  const bad = must(await call('POST', at, { body: 'steps:\n  a:\n    set: {x: "${{ steps.b.output }}"}\n', type: 'application/yaml' }), 200)
  t.match(bad, { valid: false, errors: [{ pointer: '/steps/a/set/x', message: /b/, line: 3, column: Number }] })
  const several = must(await call('POST', at, { body: { steps: { a: { needs: ['x'] }, b: { wait: { for: 'soon' } } } } }), 200)
  t.ok(several.errors.length >= 3, `all errors at once: ${JSON.stringify(several.errors)}`)
  t.equal((await call('POST', at, { body: 'x', type: 'text/plain' })).status, 415)
}

async function tagging(t: Test, { call, save, start, ended }: Contract) {
  const name = freshName()
  for (const v of [1, 2, 3]) await save(name, { steps: { a: { set: { v } } }, output: '${{ steps.a.output.v }}' })
  const outputOf = async (body: Record<string, unknown>) => (await ended((await start(name, body)).id)).output
  t.equal(await outputOf({}), 3, 'the highest version')
  t.equal(await outputOf({ version: 2 }), 2)
  const at = `/api/v1/workflows/${name}/tags`
  t.match(await call('PUT', `${at}/canary`, { body: { version: 1 } }), { status: 200, body: { version: 1 } })
  t.equal(await outputOf({ tag: 'canary' }), 1)
  t.equal(await outputOf({}), 3, 'only live changes the default')
  must(await call('PUT', `${at}/live`, { body: { version: 2 } }), 200)
  t.equal(await outputOf({}), 2, 'live is the default')
  must(await call('PUT', `${at}/live`, { body: { version: 1 } }), 200)
  t.equal(await outputOf({}), 1, 'a tag moves')
  t.match(must(await call('GET', `/api/v1/workflows/${name}`), 200).tags, { canary: 1, live: 1 })
  t.equal((await call('PUT', `${at}/live`, { body: { version: 9 } })).status, 404)
  expectProblem(t, await call('PUT', `${at}/live`, { body: { version: 'x' } }), { status: 422, pointer: '/version' }, 'a version of text')
  expectProblem(t, await call('PUT', `${at}/live`, { body: { version: 1, y: 1 } }), { status: 422, pointer: '/y' }, 'an unknown field')
  expectProblem(
    t,
    await call('POST', `/api/v1/workflows/${name}/runs`, { body: { version: 1, tag: 'live' } }),
    { status: 422 },
    'version and tag',
  )
  t.equal((await call('PUT', '/api/v1/workflows/nope/tags/live', { body: { version: 1 } })).status, 404)
}

async function archiving(t: Test, { call, save, start, ended, list }: Contract) {
  const name = freshName()
  await save(name, { steps: { a: { wait: { for: '300ms' } } } })
  const open = await start(name)
  t.equal((await call('DELETE', `/api/v1/workflows/${name}`)).status, 204)
  const refused = await call('POST', `/api/v1/workflows/${name}/runs`, { body: {} })
  expectProblem(t, refused, { status: 409, code: 'BTN_WORKFLOW_ARCHIVED' }, 'starting it')
  expectProblem(t, await call('POST', `/api/v1/workflows/${name}/runs/batch`, { body: { items: [{}] } }), { status: 409 }, 'a batch of it')
  t.equal((await ended(open.id)).status, 'succeeded', 'what runs goes on')
  t.equal((await call('DELETE', '/api/v1/workflows/nope')).status, 404)
  t.notOk(
    (await list('/api/v1/workflows?limit=200')).some((workflow) => workflow.name === name && !workflow.archived),
    'not in the list as if it lived',
  )
  const revived = await call('PUT', `/api/v1/workflows/${name}`, { body: { steps: { a: { wait: { for: '300ms' } } } } })
  t.match(revived, { status: 200, body: { version: 1 } }, 'saving the same revives it')
  t.match(await start(name), { status: String, version: 1 })
}

async function listing(t: Test, { call, save, start }: Contract) {
  const name = freshName()
  await save(name, { steps: { a: SET } })
  const ids: string[] = []
  for (let i = 0; i < 5; i++) ids.unshift((await start(name)).id)
  const first = must(await call('GET', `/api/v1/runs?workflow=${name}&limit=2`), 200)
  t.same(
    first.items.map((run: Loose) => run.id),
    ids.slice(0, 2),
    'newest first',
  )
  const late = await start(name)
  const second = must(await call('GET', `/api/v1/runs?workflow=${name}&limit=2&cursor=${encodeURIComponent(first.nextCursor)}`), 200)
  t.same(
    second.items.map((run: Loose) => run.id),
    ids.slice(2, 4),
    'nothing twice, nothing left out',
  )
  const third = must(await call('GET', `/api/v1/runs?workflow=${name}&limit=2&cursor=${encodeURIComponent(second.nextCursor)}`), 200)
  t.match(third, { items: [{ id: ids[4] }], nextCursor: null })
  t.equal(must(await call('GET', `/api/v1/runs?workflow=${name}`), 200).items[0].id, late.id)

  const since = must(await call('GET', `/api/v1/runs/${ids[2]}`), 200).createdAt
  const from = must(await call('GET', `/api/v1/runs/count?workflow=${name}&since=${since}`), 200).count
  const before = must(await call('GET', `/api/v1/runs/count?workflow=${name}&until=${since}`), 200).count
  t.ok(from >= 4 && before >= 2 && from + before >= 6 && from + before <= 8, `since and until: ${from}, ${before}`)
  const names = must(await call('GET', '/api/v1/workflows'), 200)
  t.match(names, { items: [{ name: String, version: Number }] })
  expectProblem(t, await call('GET', '/api/v1/workflows?cursor=x'), { status: 422 }, 'a bad cursor')
  expectProblem(t, await call('GET', '/api/v1/workflows?limit=201'), { status: 422 }, 'a limit too large')
}

async function values(t: Test, { call, save, start, list, runSteps, approvalOf }: Contract) {
  t.match((await call('PUT', '/api/v1/vars/REGION', { body: { value: { eu: ['de', 1.5] } } })).status, /20[01]/)
  t.match(must(await call('GET', '/api/v1/vars/REGION'), 200), { name: 'REGION', value: { eu: ['de', 1.5] } })
  t.ok((await list('/api/v1/vars')).some((item) => item.name === 'REGION'))
  const name = freshName()
  const gated = { approval: { title: 'go', assignees: ['role:admin'], allowSelf: true } }
  await save(name, {
    steps: [
      { id: 'early', set: { v: '${{ vars.REGION.eu[0] }}' } },
      { id: 'gate', ...gated },
      { id: 'late', set: { v: '${{ vars.REGION.eu[0] }}' } },
    ],
    output: '${{ [steps.early.output.v, steps.late.output.v] }}',
  })
  const run = await start(name)
  await approvalOf(run.id)
  must(await call('PUT', '/api/v1/vars/REGION', { body: { value: { eu: ['at'] } } }), 200)
  must(await call('POST', `/api/v1/runs/${run.id}/approvals/gate/decision`, { body: { decision: 'approve' } }), 200)
  t.same(must(await call('GET', `/api/v1/runs/${run.id}?wait=20s`), 200).output, ['de', 'at'], 'read once, when the step is scheduled')
  t.equal((await call('DELETE', '/api/v1/vars/REGION')).status, 204)
  t.equal((await call('DELETE', '/api/v1/vars/REGION')).status, 404)
  t.match(await runSteps({ a: { set: { v: '${{ vars.REGION }}' } } }), { status: 'failed', error: { code: 'BTN_EXPRESSION' } })

  const stored = await call('PUT', '/api/v1/secrets/TOKEN', { body: { value: 'tr0ub4dor-and-3' } })
  t.match(stored.status, /20[01]/)
  const shown = [stored, await call('GET', '/api/v1/secrets/TOKEN'), await call('GET', '/api/v1/secrets')]
  t.notMatch(JSON.stringify(shown.map((answer) => answer.body)), 'tr0ub4dor', 'a value is never returned')
  t.match(shown[1]!.body, { name: 'TOKEN' })
  t.ok(shown[2]!.body.items.some((item: Loose) => item.name === 'TOKEN'))
  expectProblem(t, await call('PUT', '/api/v1/secrets/TOKEN', { body: {} }), { status: 422, pointer: '/value' }, 'no value')
  t.equal((await call('DELETE', '/api/v1/secrets/TOKEN')).status, 204)
  t.equal((await call('GET', '/api/v1/secrets/TOKEN')).status, 404)
}

async function itself(t: Test, { call, url, liveUrl, rootKey }: Contract) {
  t.match(await call('GET', '/', { key: null }), { status: 200, body: { name: /baton/i, version: /^\d+\.\d+\.\d+/ } })
  const status = must(await call('GET', '/status', { key: rootKey }), 200)
  for (const service of ['orchestrator', 'workflow-runner', 'http-worker', 'hitl-worker', 'agent-runner', 'fanout']) {
    t.ok(
      status.services.some((entry: Loose) => entry.name === service && entry.replicas.length >= 1),
      `${service} is in /status`,
    )
  }
  t.match(status, { queues: Object, activeLocks: Number, webSocketClients: Number, mcpTools: Array })
  t.equal((await call('GET', '/status', { key: null })).status, 401)
  const openapi = must(await call('GET', '/openapi.json', { key: null }), 200)
  t.match(openapi.openapi, /^3\.1/)
  for (const path of ['/api/v1/workflows/{name}/runs', '/api/v1/runs/{id}/why', '/api/v1/approvals/{id}/decision', '/status', '/']) {
    t.ok(openapi.paths[path], `${path} is described`)
  }
  const docs = await call('GET', '/docs', { key: null })
  t.equal(docs.status, 200)
  t.match(docs.headers.get('content-type'), /html/)
  for (const origin of [url, liveUrl]) {
    for (const probe of ['/healthz', '/ready', '/health', '/metrics']) {
      const response = await fetch(origin + probe)
      const body = await response.text()
      t.equal(response.status, 200, `${origin}${probe}: ${body.slice(0, 200)}`)
      if (probe === '/metrics') t.match(body, /^# TYPE /m)
    }
  }
}
