/** What is told of a request that its schema refuses. */
import t from 'tap'
import { z } from 'zod'
import { explainIssues } from '../src/problem.ts'
import { parseContent } from '../src/validate-content.ts'

const Hook = z.strictObject({ type: z.literal('hook'), token: z.string() })
const Event = z.strictObject({ type: z.literal('event'), event: z.string() })
const Body = z.strictObject({
  reason: z.string().min(1),
  count: z.int(),
  on: z.boolean(),
  list: z.array(z.string()),
  map: z.record(z.string(), z.string()),
  level: z.enum(['low', 'high']),
  either: z.union([z.string(), z.number()]),
  what: z.discriminatedUnion('type', [Hook, Event]),
  own: z.string({ error: 'a name, please' }),
})
const GOOD = { reason: 'x', count: 1, on: true, list: [], map: {}, level: 'low', either: 1, what: { type: 'hook', token: 't' }, own: 'x' }

/** What is told of a body, by place. */
function told(body: unknown, schema: z.ZodType = Body): Record<string, string> {
  const issues = parseContent(schema, body).error?.issues ?? []
  return Object.fromEntries(explainIssues(issues, '').map(({ pointer, message }) => [pointer, message]))
}

t.test('a member that is missing is told with what to send, unless its schema has words of its own', (t) => {
  t.same(told(GOOD), {})
  t.same(told({ ...GOOD, what: {} }), { '/what/type': 'is required: send "hook" or "event"' })
  t.same(told({ ...GOOD, what: { type: 'event' } }), { '/what/event': 'is required: send a string' })
  t.same(told({}), {
    '/reason': 'is required: send a string',
    '/count': 'is required: send a number',
    '/on': 'is required: send true or false',
    '/list': 'is required: send a list',
    '/map': 'is required: send an object',
    '/level': 'is required: send "low" or "high"',
    '/either': 'is required',
    '/what': 'is required: send an object',
    '/own': 'a name, please',
  })
  t.end()
})

t.test('a member of another type or value is told with what it must be', (t) => {
  t.same(told({ ...GOOD, reason: 5, list: {}, map: [], on: null, level: 'top' }), {
    '/reason': 'must be a string, not a number',
    '/list': 'must be a list, not an object',
    '/map': 'must be an object, not a list',
    '/on': 'must be true or false, not null',
    '/level': 'must be "low" or "high"',
  })
  t.same(told({ ...GOOD, count: 1.5, what: { type: 'other' } }), {
    '/count': 'must be a whole number',
    '/what/type': 'must be "hook" or "event"',
  })
  t.same(told({ limit: 'many' }, z.strictObject({ limit: z.coerce.number() })), { '/limit': 'must be a number' })
  t.same(told([]), { '': 'must be an object, not a list' })
  const rare = z.strictObject({ any: z.unknown(), big: z.literal(1n), maybe: z.literal(['x', undefined]) })
  t.same(told({ big: 2, maybe: 'y' }, rare), { '/any': 'is required', '/big': 'must be 1', '/maybe': 'must be "x"' })
  t.end()
})
