import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
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

/** The id that a heading gets. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')

test('every link of the reference and the patterns leads somewhere', (t) => {
  const pages = ['docs/reference', 'docs/patterns'].flatMap((folder) =>
    readdirSync(join(repository, folder)).map((file) => join(repository, folder, file)),
  )
  for (const page of pages) {
    const text = readFileSync(page, 'utf8').replaceAll(/```[\s\S]*?```/g, '')
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)]+)\)/g)) {
      const [path, anchor] = target!.split('#') as [string, string?]
      const file = path === '' ? page : join(dirname(page), path)
      if (!existsSync(file)) t.fail(`${page}: ${target}`)
      else if (anchor) {
        const there = readFileSync(file, 'utf8')
        const headings = [...there.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!))
        t.ok(headings.includes(anchor) || there.includes(`id="${anchor}"`), `${page}: ${target}`)
      }
    }
  }
  t.end()
})
