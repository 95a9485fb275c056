import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { ERRORS } from '../src/index.ts'

const repository = join(import.meta.dirname, '../../..')

test('generated files say what the contracts say', (t) => {
  const script = join(import.meta.dirname, '../generate/write-generated.ts')
  t.equal(execFileSync(process.execPath, ['--no-warnings', script, '--check'], { encoding: 'utf8' }), '', 'nothing is out of date')
  t.end()
})

test('every error code is in docs/errors.md', (t) => {
  const page = readFileSync(join(repository, 'docs/errors.md'), 'utf8')
  for (const code of Object.keys(ERRORS)) t.ok(page.includes(`\`${code}\``), code)
  t.end()
})

test('the schema for editors knows every kind and asks for exactly one', (t) => {
  const schema = JSON.parse(readFileSync(join(import.meta.dirname, '../schemas/workflow.schema.json'), 'utf8'))
  const kinds = schema.$defs.step.oneOf.map((choice: { required: string[] }) => choice.required[0])
  t.equal(kinds.length, 13)
  for (const kind of kinds) t.ok(schema.$defs.step.properties[kind], kind)
  t.end()
})
