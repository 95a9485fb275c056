/** What a `workflow` step hands to the run that it starts. */
import t from 'tap'
import { start } from './decide-harness.ts'

const workflows = new Map([['child', { version: 1, checksum: 'x', input: { type: 'object', properties: { n: { type: 'number' } } } }]])

t.test('a step without input starts its child with an empty object, as a start without input does', (t) => {
  const h = start({ steps: { a: { workflow: { name: 'child' } } } }, null, { workflows })
  t.match(h.last.children, [{ workflow: 'child', input: {} }])
  t.end()
})

t.test('an input that does not match the schema of the child fails the step before anything is started', (t) => {
  const h = start({ steps: { a: { workflow: { name: 'child', input: { n: 'one' } } } } }, null, { workflows })
  t.same(h.last.children, [])
  t.match(h.state.steps.get('a'), { status: 'failed', error: { code: 'BTN_CHILD_INPUT', message: /\/n/ } })
  t.end()
})
