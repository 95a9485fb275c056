/**
 * Writes docs/api.md from the routes of this service. With `--check` it writes nothing, names the file when it is out of date and exits 1.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { apiPage } from './api-page.ts'
import { declaredRoutes } from './declared-routes.ts'

const NAME = 'docs/api.md'

async function main(): Promise<void> {
  const path = join(import.meta.dirname, '../../..', NAME)
  const checkOnly = process.argv.includes('--check')
  const wanted = apiPage(await declaredRoutes())
  if ((await readFile(path, 'utf8').catch(() => undefined)) === wanted) return
  console.log(checkOnly ? `out of date: ${NAME} (run: npm run generate)` : `written: ${NAME}`)
  if (checkOnly) process.exitCode = 1
  else await writeFile(path, wanted)
}

await main()
