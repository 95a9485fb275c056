/**
 * Writes what is generated from the registrations of metrics: docs/metrics.md, and the dashboards of Grafana from their short form. With `--check`
 * it writes nothing, names each file that is out of date and exits 1.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { dashboards } from './dashboards.ts'
import { grafanaDashboard } from './grafana.ts'
import { metricsPage } from './metrics-page.ts'
import { registeredMetrics } from './registered-metrics.ts'

const REPOSITORY = join(import.meta.dirname, '../../..')
const FOLDER = 'compose/monitoring/grafana/dashboards'

async function isCurrent(path: string, wanted: string): Promise<boolean> {
  const found = await readFile(path, 'utf8').catch(() => undefined)
  if (found === undefined) return false
  // Formatters lay JSON out in their own way: only what it says counts.
  return path.endsWith('.json') ? isDeepStrictEqual(JSON.parse(found), JSON.parse(wanted)) : found === wanted
}

async function generate(): Promise<Record<string, string>> {
  const files: Record<string, string> = { 'docs/metrics.md': metricsPage(await registeredMetrics()) }
  for (const dashboard of dashboards) files[`${FOLDER}/${dashboard.uid}.json`] = `${JSON.stringify(grafanaDashboard(dashboard), null, 2)}\n`
  return files
}

async function main(): Promise<void> {
  const checkOnly = process.argv.includes('--check')
  const stale: string[] = []
  for (const [name, wanted] of Object.entries(await generate())) {
    const path = join(REPOSITORY, name)
    if (await isCurrent(path, wanted)) continue
    stale.push(relative(REPOSITORY, path))
    if (checkOnly) continue
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, wanted)
  }
  for (const path of stale) console.log(checkOnly ? `out of date: ${path} (run: npm run generate)` : `written: ${path}`)
  process.exit(checkOnly && stale.length > 0 ? 1 : 0) // what watches the process would keep it alive
}

await main()
