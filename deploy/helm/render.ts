/**
 * Renders the chart with each baton/ci/*-values.yaml into rendered/, which the tests read, so that they need no helm:
 * `node deploy/helm/render.ts`. `--digest` prints what the chart's files add up to (it stands in the first line of each rendering, and tells when
 * one is out of date); `--print <case>` renders one to stdout. Rendering needs helm 3.10 or newer on PATH, or its path in HELM.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'

const HERE = import.meta.dirname
const CHART = join(HERE, 'baton')
/** What the manifests are rendered for: newer than what needs a fallback, older than what users are likely to have. */
const KUBE_VERSION = '1.31.0'

function digest(): string {
  const hash = createHash('sha256')
  for (const file of globSync(['Chart.yaml', 'values.yaml', 'values.schema.json', 'ci/*', 'templates/**/*.*'], { cwd: CHART }).sort()) {
    hash.update(`${file}\n`).update(readFileSync(join(CHART, file)))
  }
  return hash.digest('hex')
}

function render(name: string): string {
  const values = join(CHART, 'ci', `${name}-values.yaml`)
  const args = ['template', 'baton', CHART, '--namespace', 'baton', '--kube-version', KUBE_VERSION, '--values', values]
  return execFileSync(process.env['HELM'] ?? 'helm', args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
}

const [option, name] = process.argv.slice(2)
if (option === '--digest') process.stdout.write(`${digest()}\n`)
else if (option === '--print' && name) process.stdout.write(render(name))
else {
  for (const file of globSync('ci/*-values.yaml', { cwd: CHART }).sort()) {
    const rendering = basename(file, '-values.yaml')
    writeFileSync(join(HERE, 'rendered', `${rendering}.yaml`), `# chart ${digest()}\n${render(rendering)}`)
    console.log(`deploy/helm/rendered/${rendering}.yaml`)
  }
}
