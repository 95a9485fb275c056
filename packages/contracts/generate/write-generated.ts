/**
 * Writes what is generated from the contracts: docs/errors.md, docs/reference, the examples in docs/patterns, and the JSON Schemas that
 * editors use. With `--check` it writes nothing, names each file that is out of date and exits 1.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { errorsPage } from './errors-page.ts'
import { eventSchema, workflowSchema } from './json-schemas.ts'
import { referencePages } from './reference/pages.ts'
import { patternPages } from './reference/pattern-pages.ts'

const packageDir = join(import.meta.dirname, '..')
const repository = join(packageDir, '..', '..')

const generated: Record<string, string> = {
  [join(repository, 'docs/errors.md')]: errorsPage(),
  [join(packageDir, 'schemas/workflow.schema.json')]: asJson(workflowSchema()),
  [join(packageDir, 'schemas/event.schema.json')]: asJson(eventSchema()),
  ...Object.fromEntries(
    Object.entries({ ...referencePages(repository), ...patternPages(repository) }).map(([path, page]) => [join(repository, path), page]),
  ),
}

function asJson(schema: unknown): string {
  return `${JSON.stringify(schema, null, 2)}\n`
}

async function isCurrent(path: string, wanted: string): Promise<boolean> {
  const found = await readFile(path, 'utf8').catch(() => undefined)
  if (found === undefined) return false
  // Formatters lay JSON out in their own way: only what it says counts.
  return path.endsWith('.json') ? isDeepStrictEqual(JSON.parse(found), JSON.parse(wanted)) : found === wanted
}

async function main(): Promise<void> {
  const checkOnly = process.argv.includes('--check')
  const stale: string[] = []
  for (const [path, wanted] of Object.entries(generated)) {
    if (await isCurrent(path, wanted)) continue
    stale.push(relative(repository, path))
    if (checkOnly) continue
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, wanted)
  }
  for (const path of stale) console.log(checkOnly ? `out of date: ${path} (run: npm run generate)` : `written: ${path}`)
  if (checkOnly && stale.length > 0) process.exitCode = 1
}

await main()
