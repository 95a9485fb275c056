/** docs/reference/expressions.md says what expressions do, of every function that there is. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Json } from '@baton/contracts'
import t from 'tap'
import { FUNCTIONS, METHODS, NAMESPACED } from '../src/cel-functions.ts'
import { compile, compileMapping, type Env, parseDefinition, parseExpression } from '../src/index.ts'

const page = readFileSync(join(import.meta.dirname, '../../../docs/reference/expressions.md'), 'utf8')
const INPUT: unknown = JSON.parse(/```json\n([\s\S]*?)```/.exec(page)![1]!)
const ENV: Env = {
  step: () => ({ output: null, status: 'succeeded', error: null }),
  variable: (name) => (name === 'input' ? INPUT : undefined),
}
/** Rows of an expression and its result as JSON. */
const ROWS = [...page.slice(page.indexOf('## Values')).matchAll(/^\| `(.+?)` \| `(.+?)` \|/gm)].map(
  ([, source, result]) => [source!.replaceAll('\\|', '|'), result!] as const,
)

t.test('every row of the page that has a result gives it', (t) => {
  t.ok(ROWS.length > 80, 'the rows were found')
  for (const [source, result] of ROWS) t.same(parseExpression(source).evaluate(ENV), JSON.parse(result), source)
  t.end()
})

t.test('every function and method stands on the page', (t) => {
  const names = [
    ...Object.keys(FUNCTIONS),
    ...Object.keys(METHODS),
    ...Object.keys(NAMESPACED),
    'all',
    'exists',
    'exists_one',
    'filter',
    'map',
  ]
  t.same(
    names.filter((name) => !page.includes(`${name}(`)),
    [],
  )
  t.end()
})

const EXAMPLES = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text!)
const exampleWith = (text: string) => parseDefinition(EXAMPLES.find((example) => example.includes(text))!, 'yaml').value

t.test('the workflow of the page with a callback can be saved', (t) => {
  const { errors, warnings } = compile(exampleWith('callback.url'))
  t.same([errors, warnings], [[], []])
  t.end()
})

t.test('the schedule of the page makes the input that it tells', (t) => {
  const { input } = exampleWith('cron:') as { input: Json }
  const mapping = compileMapping(input, ['schedule'], '/input').compiled
  t.same(mapping?.render({ schedule: { name: 'report', slot: '2026-03-01T07:30:00.000Z' } }), {
    day: '2026-03-01',
    since: '2026-02-28T07:30:00.000Z',
    title: 'Report of report',
  })
  t.end()
})
