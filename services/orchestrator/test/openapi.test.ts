import { checkSchema } from '@baton/engine'
import t from 'tap'
import { accessOf, ROUTE_ROLES } from '../src/route-roles.ts'
import { startOrchestrator } from './start-orchestrator.ts'

interface Operation {
  operationId: string
  summary: string
  tags: string[]
  security?: object[]
  parameters?: { name: string; in: string; required: boolean; schema: object }[]
  requestBody?: { content: Record<string, { schema: object }> }
  responses: Record<string, { description: string; content?: Record<string, { schema: object }> }>
}
interface Document {
  openapi: string
  info: { title: string; version: string }
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, object>; securitySchemes: Record<string, object> }
  security: object[]
}

/** Routes that are no part of the API that the document describes. */
const UNDOCUMENTED = ['/healthz', '/ready', '/health', '/metrics', '/openapi.json', '/docs', '/docs/*']

async function read(t: Parameters<typeof startOrchestrator>[0]) {
  const { get } = await startOrchestrator(t)
  const { status, body } = await get('/openapi.json', { key: null })
  if (status !== 200) throw new Error(`no document: ${status}`)
  const document = body as Document
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  )
  return { document, operations }
}

t.test('every route is documented, and every documented route is one', async (t) => {
  const { operations } = await read(t)
  const documented = operations.map(({ method, path }) => `${method} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`)
  const routes = Object.keys(ROUTE_ROLES).filter((name) => !UNDOCUMENTED.includes(name.split(' ')[1]!))
  t.same(documented.toSorted(), routes.toSorted())
})

t.test('the document has the structure of OpenAPI 3.1', async (t) => {
  const { document, operations } = await read(t)
  t.match(document.openapi, /^3\.1\.\d+$/)
  t.match(document.info, { title: String, version: String })
  t.equal(new Set(operations.map(({ operation }) => operation.operationId)).size, operations.length, 'operation ids are unique')
  for (const { path, method, operation } of operations) {
    const name = `${method} ${path}`
    t.match(operation, { operationId: /^[a-zA-Z]+$/, summary: /./, tags: [/./] }, name)
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter!)
    const declared = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path')
    t.same(declared.map((parameter) => parameter.name).toSorted(), inPath.toSorted(), `${name}: path parameters`)
    t.ok(declared.every((parameter) => parameter.required))
    const keys = (operation.parameters ?? []).map((parameter) => `${parameter.in} ${parameter.name}`)
    t.equal(new Set(keys).size, keys.length, `${name}: parameters are unique`)
    t.ok(
      Object.keys(operation.responses).some((status) => /^2\d\d$/.test(status)),
      `${name}: a success`,
    )
    t.ok(Object.values(operation.responses).every((response) => response.description !== ''))
    if (method === 'GET' || method === 'DELETE') t.notOk(operation.requestBody, `${name}: no body`)
  }
})

t.test('every reference leads somewhere, and every schema is one', async (t) => {
  const { document, operations } = await read(t)
  const text = JSON.stringify(document)
  const names = [...text.matchAll(/"\$ref":"([^"]+)"/g)].map(([, ref]) => ref!)
  for (const ref of new Set(names)) {
    t.match(ref, /^#\/components\/schemas\/\w+$/)
    t.ok(document.components.schemas[ref.split('/').at(-1)!], ref)
  }
  const schemas = operations.flatMap(({ operation }) => [
    ...(operation.parameters ?? []).map((parameter) => parameter.schema),
    ...Object.values(operation.requestBody?.content ?? {}).map((content) => content.schema),
    ...Object.values(operation.responses).flatMap((response) => Object.values(response.content ?? {}).map((content) => content.schema)),
  ])
  // As one schema with local definitions, so that references can be followed.
  const $defs = JSON.parse(JSON.stringify(document.components.schemas).replaceAll('#/components/schemas/', '#/$defs/'))
  const anyOf = JSON.parse(JSON.stringify(schemas).replaceAll('#/components/schemas/', '#/$defs/'))
  t.same(checkSchema({ $defs, anyOf }), [])
})

t.test('who may ask and what can go wrong is documented', async (t) => {
  const { document, operations } = await read(t)
  t.match(document.components.securitySchemes, { bearer: { type: 'http', scheme: 'bearer' } })
  t.same(document.security, [{ bearer: [] }])
  for (const { path, method, operation } of operations) {
    if (accessOf(method, path.replaceAll(/\{(\w+)\}/g, ':$1')) === 'public') {
      t.same(operation.security, [], `${method} ${path} is open to all`)
      continue
    }
    for (const status of [401, 403, 404, 422, 503]) {
      const content = operation.responses[status]?.content
      t.same(content, { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } }, `${method} ${path} ${status}`)
    }
  }
  const start = document.paths['/api/v1/workflows/{name}/runs']!.post!
  t.same(start.responses['202']!.content, { 'application/json': { schema: { $ref: '#/components/schemas/Run' } } })
  t.match(start.parameters, [{ name: 'wait' }, { name: 'name' }, { name: 'idempotency-key', in: 'header' }])
  const put = document.paths['/api/v1/workflows/{name}']!.put!
  t.same(Object.keys(put.requestBody!.content), ['application/json', 'application/yaml'])
})

t.test('the page for people is there', async (t) => {
  const { get } = await startOrchestrator(t)
  const page = await get('/docs/', { key: null })
  t.match(page, { status: 200, headers: { 'content-type': /text\/html/ } })
  t.equal((await get('/docs/json', { key: null })).status, 200)
  t.equal((await get('/docs/static/swagger-ui.css', { key: null })).status, 200)
  t.match((await get('/', { key: null })).body, { name: 'baton', version: String })
})
