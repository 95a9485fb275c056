import { ROLES, type Role } from '@baton/contracts'
import { createLogger, createService } from '@baton/runtime'
import t from 'tap'
import { guardRoutes } from '../src/access.ts'
import { ROUTE_ROLES } from '../src/route-roles.ts'
import { startOrchestrator, TINY, unknownRun } from './start-orchestrator.ts'

t.test('a route that the table of roles does not name does not start', async (t) => {
  const app = createService({ name: 'test', logger: createLogger({ name: 'test', level: 'silent' }), checks: [] })
  t.teardown(() => app.close())
  guardRoutes(app, { adminKey: 'x', findKey: async () => undefined })
  t.throws(() => app.get('/api/v1/backdoor', async () => 'hello'), /GET \/api\/v1\/backdoor has no entry/)
})

t.test('the table names no route that is not there', async (t) => {
  const { app } = await startOrchestrator(t)
  for (const name of Object.keys(ROUTE_ROLES)) {
    const [method, url] = name.split(' ') as ['GET', string]
    t.ok(url === '/docs/*' || app.hasRoute({ method, url }), name)
  }
})

t.test('every role is held to the table, on every route', async (t) => {
  const { ask, key, save } = await startOrchestrator(t)
  await save(TINY, 'tiny')
  const run = (await ask('POST', '/api/v1/workflows/tiny/runs')).body.id as string
  const owned = Object.fromEntries(await Promise.all(ROLES.map(async (role) => [role, await key(role)]))) as Record<Role, string>
  const victim = (await ask('POST', '/api/v1/api-keys', { body: { name: 'victim', role: 'viewer' } })).body.id as string
  await ask('PUT', '/api/v1/secrets/A', { body: { value: 'x' } })
  await ask('PUT', '/api/v1/vars/A', { body: { value: 1 } })
  await ask('PUT', '/api/v1/schedules/mine', { body: { cron: '@yearly', workflow: 'tiny' } })
  await ask('PUT', '/api/v1/triggers/mine', { body: { type: 'webhook', verify: 'none', workflow: 'tiny' } })
  for (const [name, access] of Object.entries(ROUTE_ROLES)) {
    const [method, pattern] = name.split(' ') as [string, string]
    if (access === 'public') continue
    const url = addressOf(pattern, { run, victim })
    t.equal((await ask(method, url, { key: null })).status, 401, `${name} without a key`)
    for (const role of ROLES) {
      if (access.includes(role)) continue
      const { status, body } = await ask(method, url, { key: owned[role] })
      // What is addressed comes before who may: an approval that does not exist is 404 for everybody.
      t.match(
        [status, body.code],
        /(approvals|tasks)\/:/.test(pattern) || pattern.includes('/approvals/') ? [404, /NOT_FOUND/] : [403, 'BTN_FORBIDDEN'],
        `${name} as ${role}`,
      )
    }
  }
})

t.test('each role may do its work', async (t) => {
  const { ask, key, save } = await startOrchestrator(t)
  await save(TINY, 'tiny')
  const [developer, operator, viewer] = await Promise.all([key('developer'), key('operator'), key('viewer')])
  const yes = async (asked: string, method: string, url: string, status: number, body?: object) => {
    t.equal((await ask(method, url, { key: asked, ...(body ? { body: body as never } : {}) })).status, status, `${method} ${url}`)
  }
  await yes(developer, 'PUT', '/api/v1/workflows/theirs', 201, TINY)
  await yes(developer, 'POST', '/api/v1/workflows/theirs/runs', 202)
  await yes(developer, 'PUT', '/api/v1/secrets/S', 201, { value: 'x' })
  const run = (await ask('POST', '/api/v1/workflows/tiny/runs')).body.id as string
  await yes(operator, 'POST', `/api/v1/runs/${run}/pause`, 202)
  await yes(viewer, 'GET', `/api/v1/runs/${run}`, 200)
  await yes(viewer, 'GET', '/api/v1/approvals', 200)
  await yes(viewer, 'GET', '/status', 200)
})

t.test('what is addressed is looked for before the role is judged, the state before the content', async (t) => {
  const { ask, key, save } = await startOrchestrator(t)
  await save(TINY, 'tiny')
  const viewer = await key('viewer')
  const run = (await ask('POST', '/api/v1/workflows/tiny/runs')).body.id as string
  const code = async (method: string, url: string, asked: object) => (await ask(method, url, asked)).body.code
  t.equal(await code('POST', `/api/v1/runs/${unknownRun()}/cancel`, { key: viewer }), 'BTN_RUN_NOT_FOUND')
  t.equal(await code('POST', `/api/v1/runs/${run}/cancel?x=1`, { key: viewer }), 'BTN_FORBIDDEN')
  t.equal(await code('POST', `/api/v1/runs/${run}/cancel?x=1`, {}), 'BTN_INVALID_REQUEST')
  await ask('DELETE', '/api/v1/workflows/tiny')
  t.equal(await code('POST', '/api/v1/workflows/tiny/runs', { body: { nonsense: 1 } }), 'BTN_WORKFLOW_ARCHIVED')
  t.equal(await code('POST', '/api/v1/workflows/tiny/runs', { key: viewer }), 'BTN_FORBIDDEN')
})

function addressOf(pattern: string, { run, victim }: { run: string; victim: string }): string {
  return pattern
    .replace('/api/v1/runs/:id', `/api/v1/runs/${run}`)
    .replace('/api/v1/api-keys/:id', `/api/v1/api-keys/${victim}`)
    .replace('/api/v1/tasks/:id', '/api/v1/tasks/tsk_unknown')
    .replace('/api/v1/approvals/:id', '/api/v1/approvals/apr_unknown')
    .replace(/(secrets|vars)\/:name/, '$1/A')
    .replace(/(schedules|triggers)\/:name/, '$1/mine')
    .replace('workflows/:name', 'workflows/tiny')
    .replace('tags/:tag', 'tags/live')
    .replace('versions/:version', 'versions/1')
    .replace(':path', 'only')
}
