import { ERRORS, Problem } from '@baton/contracts'
import tap from 'tap'
import { ADMIN_KEY, type Answer, type Asked, startOrchestrator, TINY, unknownRun } from './start-orchestrator.ts'

interface Row {
  what: string
  ask: [method: string, url: string, asked?: Asked]
  code: keyof typeof ERRORS
  status: number
  pointer?: string
  hasPlace?: boolean
  detail?: RegExp
}

const yaml = (text: string): Asked => ({ text, type: 'application/yaml' })
const put = '/api/v1/workflows/w'

const DEFINITIONS: Row[] = [
  {
    what: 'broken YAML',
    ask: ['PUT', put, yaml('steps:\n  a: [1, 2\n  b: }\n')],
    code: 'BTN_MALFORMED_BODY',
    status: 400,
    pointer: '',
    hasPlace: true,
  },
  { what: 'broken JSON', ask: ['PUT', put, { text: '{"steps": ' }], code: 'BTN_MALFORMED_BODY', status: 400, pointer: '', hasPlace: true },
  { what: 'no body', ask: ['PUT', put], code: 'BTN_MALFORMED_BODY', status: 400 },
  {
    what: 'a cycle',
    ask: ['PUT', put, yaml('steps:\n  a: { set: { x: "${{ steps.b.output.x }}" } }\n  b: { needs: [a], set: { x: 1 } }\n')],
    code: 'BTN_INVALID_DEFINITION',
    status: 422,
    pointer: '/steps',
    hasPlace: true,
  },
  {
    what: 'an unknown step in an expression',
    ask: ['PUT', put, yaml('steps:\n  a:\n    set:\n      x: ${{ steps.nope.output }}\n')],
    code: 'BTN_INVALID_DEFINITION',
    status: 422,
    pointer: '/steps/a/set/x',
    hasPlace: true,
  },
  {
    what: 'an unknown need',
    ask: ['PUT', put, yaml('steps:\n  a:\n    needs: [nope]\n    set: { x: 1 }\n')],
    code: 'BTN_INVALID_DEFINITION',
    status: 422,
    pointer: '/steps/a/needs/0',
    hasPlace: true,
  },
  {
    what: 'two kinds',
    ask: ['PUT', put, { body: { steps: { a: { set: { x: 1 }, fail: {} } } } }],
    code: 'BTN_INVALID_DEFINITION',
    status: 422,
    pointer: '/steps/a',
    hasPlace: true,
  },
  {
    what: 'no kind',
    ask: ['PUT', put, { body: { steps: { a: { name: 'x' } } } }],
    code: 'BTN_INVALID_DEFINITION',
    status: 422,
    pointer: '/steps/a',
    hasPlace: true,
  },
  {
    what: 'broken CEL',
    ask: ['PUT', put, { body: { steps: { a: { set: { x: '${{ 1 + }}' } } } } }],
    code: 'BTN_INVALID_DEFINITION',
    status: 422,
    pointer: '/steps/a/set/x',
    hasPlace: true,
  },
  {
    what: 'an unknown key',
    ask: ['PUT', put, { body: { steps: { a: { set: { x: 1 }, color: 'red' } } } }],
    code: 'BTN_INVALID_DEFINITION',
    status: 422,
    pointer: '/steps/a/color',
    hasPlace: true,
  },
  {
    what: 'a bad duration',
    ask: ['PUT', put, { body: { timeout: '5 fortnights', steps: { a: { set: { x: 1 } } } } }],
    code: 'BTN_INVALID_DEFINITION',
    status: 422,
    pointer: '/timeout',
    hasPlace: true,
  },
  { what: 'no steps', ask: ['PUT', put, { body: { name: 'w' } }], code: 'BTN_INVALID_DEFINITION', status: 422, pointer: '/steps' },
  { what: 'empty steps', ask: ['PUT', put, { body: { steps: {} } }], code: 'BTN_INVALID_DEFINITION', status: 422, pointer: '/steps' },
  {
    what: 'a name that differs',
    ask: ['PUT', put, { body: { name: 'other', ...TINY } }],
    code: 'BTN_INVALID_DEFINITION',
    status: 422,
    pointer: '/name',
    hasPlace: true,
  },
  {
    what: 'a bad name in the address',
    ask: ['PUT', '/api/v1/workflows/Bad_Name', { body: TINY }],
    code: 'BTN_INVALID_DEFINITION',
    status: 422,
    pointer: '/name',
  },
  {
    what: 'a kind that does not run yet',
    ask: ['PUT', put, { body: { steps: { a: { agent: { model: 'mock/echo', prompt: 'x', tools: [] } } } } }],
    code: 'BTN_UNSUPPORTED',
    status: 422,
    pointer: '/steps/a/agent/tools',
  },
  {
    what: 'a description that cannot be stored',
    ask: ['PUT', put, { body: { description: 'a\u0000', ...TINY } }],
    code: 'BTN_INVALID_DEFINITION',
    status: 422,
    pointer: '/description',
  },
  {
    what: '1.1 MiB',
    ask: ['PUT', put, { body: { description: 'x'.repeat(1_153_434), ...TINY } }],
    code: 'BTN_TOO_LARGE',
    status: 413,
    detail: /BATON_DEFINITION_BYTES_MAX/,
  },
  {
    what: 'another media type',
    ask: ['PUT', put, { text: '<a/>', type: 'text/xml' }],
    code: 'BTN_MEDIA_TYPE',
    status: 415,
    detail: /application\/json or application\/yaml/,
  },
]

const REQUESTS: Row[] = [
  {
    what: 'input against the schema',
    ask: ['POST', '/api/v1/workflows/strict/runs', { body: { input: { n: 'one' } } }],
    code: 'BTN_INVALID_INPUT',
    status: 422,
    pointer: '/input/n',
  },
  {
    what: 'input that is missing',
    ask: ['POST', '/api/v1/workflows/strict/runs'],
    code: 'BTN_INVALID_INPUT',
    status: 422,
    pointer: '/input/n',
  },
  {
    what: 'an unknown field',
    ask: ['POST', '/api/v1/workflows/strict/runs', { body: { input: { n: 1 }, colour: 1 } }],
    code: 'BTN_INVALID_REQUEST',
    status: 422,
    pointer: '/colour',
  },
  {
    what: 'an unknown query parameter',
    ask: ['GET', '/api/v1/runs?colour=red'],
    code: 'BTN_INVALID_REQUEST',
    status: 422,
    pointer: '/query/colour',
  },
  {
    what: 'a wrong priority',
    ask: ['POST', '/api/v1/workflows/strict/runs', { body: { input: { n: 1 }, priority: 10 } }],
    code: 'BTN_INVALID_REQUEST',
    status: 422,
    pointer: '/priority',
  },
  {
    what: 'labels that cannot be stored',
    ask: ['POST', '/api/v1/workflows/strict/runs', { body: { input: { n: 1 }, labels: { a: 'x\u0000' } } }],
    code: 'BTN_INVALID_REQUEST',
    status: 422,
    pointer: '/labels',
  },
  {
    what: 'version and tag',
    ask: ['POST', '/api/v1/workflows/strict/runs', { body: { version: 1, tag: 'live' } }],
    code: 'BTN_INVALID_REQUEST',
    status: 422,
    pointer: '/tag',
  },
  {
    what: 'a body that is a list',
    ask: ['POST', '/api/v1/workflows/strict/runs', { body: [] }],
    code: 'BTN_INVALID_REQUEST',
    status: 422,
    pointer: '',
  },
  {
    what: 'broken JSON',
    ask: ['POST', '/api/v1/workflows/strict/runs', { text: '{"input":\n {,}}' }],
    code: 'BTN_MALFORMED_BODY',
    status: 400,
    hasPlace: true,
  },
  {
    what: 'the fourth item of a batch',
    ask: [
      'POST',
      '/api/v1/workflows/strict/runs/batch',
      { body: { items: [{ input: { n: 1 } }, { input: { n: 2 } }, { input: { n: 3 } }, { input: { n: 'x' } }] } },
    ],
    code: 'BTN_INVALID_INPUT',
    status: 422,
    pointer: '/items/3/input/n',
  },
  {
    what: 'an empty batch',
    ask: ['POST', '/api/v1/workflows/strict/runs/batch', { body: { items: [] } }],
    code: 'BTN_INVALID_REQUEST',
    status: 422,
    pointer: '/items',
  },
  {
    what: 'a batch of 1 001',
    ask: ['POST', '/api/v1/workflows/strict/runs/batch', { body: { items: Array.from({ length: 1_001 }, () => ({ input: { n: 1 } })) } }],
    code: 'BTN_INVALID_REQUEST',
    status: 422,
    pointer: '/items',
  },
  {
    what: 'an input over 1 MiB',
    ask: ['POST', '/api/v1/workflows/strict/runs', { body: { input: { n: 1, x: 'x'.repeat(1_048_577) } } }],
    code: 'BTN_TOO_LARGE',
    status: 413,
    detail: /BATON_RUN_INPUT_BYTES_MAX/,
  },
  {
    what: 'an input far over 1 MiB',
    ask: ['POST', '/api/v1/workflows/strict/runs', { body: { input: { n: 1, x: 'x'.repeat(2_000_000) } } }],
    code: 'BTN_TOO_LARGE',
    status: 413,
    detail: /BATON_RUN_INPUT_BYTES_MAX/,
  },
  {
    what: 'an input nested too deeply',
    ask: ['POST', '/api/v1/workflows/strict/runs', { text: `{"input":{"n":1,"x":${'['.repeat(50_000)}${']'.repeat(50_000)}}}` }],
    code: 'BTN_INVALID_INPUT',
    status: 422,
    pointer: '/input',
  },
  {
    what: 'a long Idempotency-Key',
    ask: ['POST', '/api/v1/workflows/strict/runs', { body: { input: { n: 1 } }, headers: { 'idempotency-key': 'x'.repeat(256) } }],
    code: 'BTN_INVALID_REQUEST',
    status: 422,
    pointer: '/headers/idempotency-key',
  },
  {
    what: 'a wait over 60s',
    ask: ['POST', '/api/v1/workflows/strict/runs?wait=61s', { body: { input: { n: 1 } } }],
    code: 'BTN_INVALID_REQUEST',
    status: 422,
    pointer: '/query/wait',
  },
  { what: 'a bad cursor', ask: ['GET', '/api/v1/runs?cursor=zzz'], code: 'BTN_INVALID_REQUEST', status: 422, pointer: '/query/cursor' },
  {
    what: 'a limit too large',
    ask: ['GET', '/api/v1/runs?limit=201'],
    code: 'BTN_INVALID_REQUEST',
    status: 422,
    pointer: '/query/limit',
  },
  {
    what: 'a limit that is no number',
    ask: ['GET', '/api/v1/workflows?limit=many'],
    code: 'BTN_INVALID_REQUEST',
    status: 422,
    pointer: '/query/limit',
  },
  {
    what: 'a status that is none',
    ask: ['GET', '/api/v1/runs?status=running,lost'],
    code: 'BTN_INVALID_REQUEST',
    status: 422,
    pointer: '/query/status/1',
  },
  {
    what: 'a label without a colon',
    ask: ['GET', '/api/v1/runs?label=team'],
    code: 'BTN_INVALID_REQUEST',
    status: 422,
    pointer: '/query/label/0',
  },
  { what: 'a name that cannot be', ask: ['GET', '/api/v1/workflows/a%00b'], code: 'BTN_NOT_FOUND', status: 404 },
  { what: 'a name that cannot be saved', ask: ['PUT', '/api/v1/vars/a%00b', { body: { value: 1 } }], code: 'BTN_NOT_FOUND', status: 404 },
  { what: 'an address that is no UTF-8', ask: ['GET', '/api/v1/workflows/%ff'], code: 'BTN_BAD_REQUEST', status: 400 },
  {
    what: 'a filter that cannot be',
    ask: ['GET', '/api/v1/runs?workflow=a%00'],
    code: 'BTN_INVALID_REQUEST',
    status: 422,
    pointer: '/query/workflow',
  },
  { what: 'an unknown run', ask: ['GET', `/api/v1/runs/${unknownRun()}`], code: 'BTN_RUN_NOT_FOUND', status: 404 },
  { what: 'a malformed run id', ask: ['GET', '/api/v1/runs/42'], code: 'BTN_RUN_NOT_FOUND', status: 404 },
  { what: 'an unknown workflow', ask: ['POST', '/api/v1/workflows/nope/runs', { body: {} }], code: 'BTN_WORKFLOW_NOT_FOUND', status: 404 },
  {
    what: 'an unknown version',
    ask: ['POST', '/api/v1/workflows/strict/runs', { body: { version: 99 } }],
    code: 'BTN_WORKFLOW_NOT_FOUND',
    status: 404,
  },
  {
    what: 'an unknown tag',
    ask: ['POST', '/api/v1/workflows/strict/runs', { body: { tag: 'nope' } }],
    code: 'BTN_WORKFLOW_NOT_FOUND',
    status: 404,
  },
  { what: 'an unknown approval', ask: ['GET', '/api/v1/approvals/apr_1'], code: 'BTN_APPROVAL_NOT_FOUND', status: 404 },
  { what: 'an unknown route', ask: ['GET', '/api/v1/nope'], code: 'BTN_NOT_FOUND', status: 404 },
  { what: 'no key', ask: ['GET', '/api/v1/runs', { key: null }], code: 'BTN_UNAUTHORIZED', status: 401 },
  { what: 'a wrong key', ask: ['GET', '/api/v1/runs', { key: 'wrong' }], code: 'BTN_UNAUTHORIZED', status: 401 },
  {
    what: 'another scheme',
    ask: ['GET', '/api/v1/runs', { key: null, headers: { authorization: `Basic ${ADMIN_KEY}` } }],
    code: 'BTN_UNAUTHORIZED',
    status: 401,
  },
  { what: 'a wrong method', ask: ['PATCH', '/api/v1/workflows/strict'], code: 'BTN_METHOD_NOT_ALLOWED', status: 405 },
  {
    what: 'a wrong media type',
    ask: ['POST', '/api/v1/workflows/strict/runs', { text: 'a=1', type: 'application/x-www-form-urlencoded' }],
    code: 'BTN_MEDIA_TYPE',
    status: 415,
  },
]

function check(t: typeof tap, row: Row, answer: Answer): void {
  t.equal(answer.status, row.status, answer.text.slice(0, 300))
  t.equal(answer.body?.code, row.code)
  t.equal(ERRORS[row.code].status, row.status)
  t.ok(Problem.safeParse(answer.body).success)
  t.match(answer.headers['content-type'], /^application\/problem\+json/)
  t.ok(answer.headers['x-request-id'])
  const [first] = answer.body?.errors ?? []
  if (row.pointer !== undefined) t.equal(first?.pointer, row.pointer)
  if (row.hasPlace) t.match(first, { line: Number, column: Number })
  if (row.detail) t.match(answer.body.detail, row.detail)
}

tap.test('bad input is answered with its code and its place', async (t) => {
  const { ask, save } = await startOrchestrator(t)
  await save({ input: { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } }, ...TINY }, 'strict')
  for (const row of [...DEFINITIONS, ...REQUESTS]) {
    await t.test(row.what, async (t) => check(t as unknown as typeof tap, row, await ask(...row.ask)))
  }
  const listed = await ask('GET', '/api/v1/runs/count')
  t.same(listed.body, { count: 0 }, 'nothing was started')
  t.match((await ask('PATCH', '/api/v1/workflows/strict')).headers.allow, 'DELETE, GET, HEAD, PUT')
})
