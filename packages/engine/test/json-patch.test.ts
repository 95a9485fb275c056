import type { Json, PatchOperation } from '@baton/contracts'
import { applyPatch, mergePatch, PatchFailed } from '@baton/engine'
import t from 'tap'

t.test('operations of RFC 6902, by the examples of its appendix', async (t) => {
  const table: [Json, PatchOperation[], Json][] = [
    [{ foo: 'bar' }, [{ op: 'add', path: '/baz', value: 'qux' }], { foo: 'bar', baz: 'qux' }],
    [{ foo: ['bar', 'baz'] }, [{ op: 'add', path: '/foo/1', value: 'qux' }], { foo: ['bar', 'qux', 'baz'] }],
    [{ baz: 'qux', foo: 'bar' }, [{ op: 'remove', path: '/baz' }], { foo: 'bar' }],
    [{ foo: ['bar', 'qux', 'baz'] }, [{ op: 'remove', path: '/foo/1' }], { foo: ['bar', 'baz'] }],
    [{ baz: 'qux' }, [{ op: 'replace', path: '/baz', value: 'boo' }], { baz: 'boo' }],
    [{ foo: { bar: 1 }, qux: {} }, [{ op: 'move', from: '/foo/bar', path: '/qux/thud' }], { foo: {}, qux: { thud: 1 } }],
    [{ foo: ['all', 'grass', 'cows', 'eat'] }, [{ op: 'move', from: '/foo/1', path: '/foo/3' }], { foo: ['all', 'cows', 'eat', 'grass'] }],
    [{ a: { b: [1] } }, [{ op: 'copy', from: '/a/b', path: '/c' }], { a: { b: [1] }, c: [1] }],
    [{ foo: [1] }, [{ op: 'add', path: '/foo/-', value: [2] }], { foo: [1, [2]] }],
    [{ '/': 9, '~1': 10 }, [{ op: 'test', path: '/~01', value: 10 }], { '/': 9, '~1': 10 }],
    [{ a: 1 }, [{ op: 'replace', path: '', value: [] }], []],
  ]
  for (const [document, patch, expected] of table) {
    const before = structuredClone(document)
    t.same(applyPatch(document, patch), expected, JSON.stringify(patch))
    t.same(document, before, 'the document is left as it was')
  }
})

t.test('what cannot be done says where', async (t) => {
  const fail = (patch: PatchOperation[], at: string, isTest = false) => {
    try {
      applyPatch({ foo: ['bar'], a: { b: 1 } }, patch)
      t.fail(`${JSON.stringify(patch)} was done`)
    } catch (error) {
      t.match(error, { name: 'PatchFailed', at, isTest }, JSON.stringify(patch))
      t.ok(error instanceof PatchFailed)
    }
  }
  fail([{ op: 'test', path: '/foo', value: [] }], '/0', true)
  fail(
    [
      { op: 'test', path: '/a/b', value: 1 },
      { op: 'remove', path: '/x' },
    ],
    '/1/path',
  )
  fail([{ op: 'replace', path: '/a/c', value: 1 }], '/0/path')
  fail([{ op: 'add', path: '/x/y', value: 1 }], '/0/path')
  fail([{ op: 'add', path: '/foo/3', value: 1 }], '/0/path')
  fail([{ op: 'add', path: '/foo/01', value: 1 }], '/0/path')
  fail([{ op: 'add', path: 'foo', value: 1 }], '/0/path')
  fail([{ op: 'move', from: '/a', path: '/a/b/c' }], '/0/path')
  fail([{ op: 'copy', from: '/z', path: '/a/b' }], '/0/from')
  fail([{ op: 'add', path: '/__proto__/x', value: 1 }], '/0/path')
  fail([{ op: 'remove', path: '' }], '/0/path')
})

t.test('merge patches of RFC 7396, by the table of its appendix', async (t) => {
  const table: [Json, Json, Json][] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'foo' }, 'bar', 'bar'],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ]
  for (const [value, patch, expected] of table) t.same(mergePatch(value, patch), expected, JSON.stringify([value, patch]))
})
