/** The keys of a definition as rows: none is left out, and each says what it means. */
import { test } from 'tap'
import { commonKeys, KIND_BODIES, keysOf, runningKeysOf, runningKinds, STEP_KINDS, topKeys, UNSUPPORTED } from '../src/index.ts'

const find = (keys: ReturnType<typeof topKeys>, path: string) => keys.find((key) => key.path === path)

test('every key has a meaning', (t) => {
  const all = [...topKeys(), ...commonKeys(), ...STEP_KINDS.flatMap((kind) => keysOf(KIND_BODIES[kind]))]
  t.same(
    all.filter(({ meaning }) => meaning === '').map(({ path }) => path),
    [],
  )
  t.end()
})

test('types, values, defaults and what is required, also inside lists and alternatives', (t) => {
  const http = keysOf(KIND_BODIES.http)
  t.match(find(http, 'url'), { type: 'text', isRequired: true })
  t.match(find(http, 'response'), { values: ['auto', 'json', 'text', 'base64'], standard: '"auto"', isRequired: false })
  t.match(find(http, 'auth.bearer'), { isRequired: false }, 'one of four ways')
  t.match(find(http, 'auth.basic.username'), { isRequired: true })
  t.match(find(http, 'paginate.page.size.param'), { isRequired: true })
  t.match(find(keysOf(KIND_BODIES.approval), 'options.approves'), { type: 'true or false' })
  t.match(find(commonKeys(), 'retry.attempts'), { type: 'whole number (1–100)', standard: '1' })
  t.match(find(commonKeys(), 'needs.require'), { values: ['satisfied', 'succeeded'] })
  t.match(find(topKeys(), 'steps'), { type: 'steps', isRequired: true })
  t.match(find(keysOf(KIND_BODIES.switch), 'cases.steps'), { type: 'steps' })
  t.end()
})

test('what is refused is not among what runs', (t) => {
  const running = runningKinds().flatMap((kind) => [kind, ...runningKeysOf(kind).map(({ path }) => `${kind}.${path}`)])
  t.same(
    UNSUPPORTED.filter((feature) => running.includes(feature)),
    [],
  )
  t.ok(running.includes('agent.prompt'))
  t.end()
})
