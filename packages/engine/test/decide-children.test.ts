/** Child runs: what a `workflow` step starts, and what the end of the child makes of it. */
import { idOf, type Json, takesCanary } from '@baton/contracts'
import type { ChildTarget } from '@baton/engine'
import t from 'tap'
import { type Harness, sameWhenFolded, start } from './decide-harness.ts'

const target = (more: Partial<ChildTarget> = {}): ChildTarget => ({ version: 3, checksum: 'three', ...more })
const startWith = (body: object, child: ChildTarget | undefined, input: Json = null) =>
  start({ steps: { c: { workflow: { name: 'child', ...body } } } }, input, { workflows: new Map(child ? [['child', child]] : []) })
const end = (h: Harness, more: object) =>
  h.take({ kind: 'child-ended', path: 'c', generation: 0, run: h.last.children[0]?.id ?? '', output: null, error: null, ...more } as never)

t.test('a child is started in the version of the moment, and its output is that of the step', async (t) => {
  const h = startWith({ input: { n: '${{ input.n }}' } }, target({ timeoutMs: 5_000 }), { n: 4 })
  const [child] = h.last.children
  t.match(child, { workflow: 'child', version: 3, checksum: 'three', input: { n: 4 }, timeoutMs: 5_000, generation: 0 })
  t.match(h.state.steps.get('c'), { status: 'waiting', waitingFor: { kind: 'run', run: idOf('run', child!.id) } })
  sameWhenFolded(t, h)
  end(h, { status: 'succeeded', output: { m: 5 } })
  t.match(h.state.steps.get('c'), { status: 'succeeded', output: { m: 5 } })
  sameWhenFolded(t, h)
})

t.test('nobody waits when wait is false: the output is the id of the child', async (t) => {
  const h = startWith({ wait: false }, target())
  t.match(h.last.children, [{ generation: null }])
  t.equal(h.state.steps.get('c')?.output, idOf('run', h.last.children[0]!.id))
  t.equal(h.state.status, 'succeeded')
})

t.test('how a child ended otherwise is the cause; the end of another run is none of it', async (t) => {
  const h = startWith({}, target())
  const [child] = h.last.children
  end(h, { run: '01920000-0000-7000-8000-00000000ffff', status: 'succeeded' })
  t.equal(h.state.steps.get('c')?.status, 'waiting')
  end(h, { run: child!.id, status: 'failed', error: { code: 'BTN_USER_FAIL', message: 'no' } })
  t.match(h.state.steps.get('c')?.error, { code: 'BTN_CHILD_FAILED', cause: { code: 'BTN_USER_FAIL' } })
  sameWhenFolded(t, h)
})

t.test('what cannot be started fails the step, and nothing is started', async (t) => {
  const schema = { type: 'object', required: ['n'] }
  for (const [child, code] of [
    [undefined, 'BTN_CHILD_UNKNOWN'],
    [target({ input: schema }), 'BTN_CHILD_INPUT'],
  ] as const) {
    const h = startWith({ input: {} }, child)
    t.match(h.state.steps.get('c')?.error, { code })
    t.strictSame(h.last.children, [])
  }
})

t.test('a canary takes its share of child runs by their ids, its input by its own schema', async (t) => {
  const strict = { version: 4, checksum: 'four', input: { type: 'object', required: ['n'] } }
  const versionAt = (percent: number, input: object) => {
    const h = startWith({ input }, target({ canary: { ...strict, percent } }))
    return h.last.children[0]?.version ?? h.state.steps.get('c')?.error?.code
  }
  t.equal(versionAt(0, { n: 1 }), 3)
  t.equal(versionAt(100, { n: 1 }), 4)
  t.equal(versionAt(100, {}), 'BTN_CHILD_INPUT')
  const id = startWith({}, target()).last.children[0]!.id
  const border = Array.from({ length: 101 }, (_, percent) => percent).find((percent) => takesCanary(id, percent))!
  t.strictSame([versionAt(border - 1, { n: 1 }), versionAt(border, { n: 1 })], [3, 4])
})

t.test('a step without input starts its child with an empty object, as a start without input does', async (t) => {
  const h = startWith({}, target({ input: { type: 'object' } }))
  t.match(h.last.children, [{ workflow: 'child', input: {} }])
})
