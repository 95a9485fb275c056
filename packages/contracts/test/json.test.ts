import { test } from 'tap'
import { storable } from '../src/index.ts'

test('what Postgres refuses in jsonb is replaced, all else is left as it is', (t) => {
  const clean = { a: ['x', 1, null, { b: true }] }
  t.equal(storable(clean), clean)
  t.same(storable({ 'k\u0000': ['a\u0000b', '\ud800', '😀'] }), { 'k\ufffd': ['a\ufffdb', '\ufffd', '😀'] })
  t.end()
})
