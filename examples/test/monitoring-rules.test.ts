/** The rules of Prometheus and the dashboards of Grafana ask for what there is; every alert was rehearsed. */
import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'
import { documentedMetrics, seriesOf, unknownIn } from './read-metrics.ts'

const ROOT = join(import.meta.dirname, '../..')
const FOLDER = join(ROOT, 'compose/monitoring')
const DASHBOARDS = join(FOLDER, 'grafana/dashboards')
const read = (path: string) => readFileSync(join(FOLDER, path), 'utf8')

interface Rule {
  alert: string
  expr: string
  labels: { severity: string }
  annotations: { summary: string; runbook: string }
}
interface Panel {
  id: number
  title: string
  description: string
  datasource: { uid: string }
  gridPos: { x: number; y: number; w: number; h: number }
  targets: { expr: string }[]
}

const rules = (parse(read('alerts.yml')) as { groups: { rules: Rule[] }[] }).groups.flatMap((group) => group.rules)
const dashboards = readdirSync(DASHBOARDS).map((file) => {
  return JSON.parse(readFileSync(join(DASHBOARDS, file), 'utf8')) as { uid: string; title: string; panels: Panel[] }
})

test('docs/metrics.md and the dashboards are what the registrations and their short form say', (t) => {
  const script = join(FOLDER, 'generate/write-generated.ts')
  const args = ['--conditions=@baton/source', '--no-warnings', script, '--check']
  t.equal(execFileSync(process.execPath, args, { encoding: 'utf8' }), '', 'nothing is out of date')
  t.end()
})

test('a name that nobody registers is found', (t) => {
  const series = seriesOf(documentedMetrics())
  t.ok(series.size > 80, `${series.size} series`)
  t.same(unknownIn('sum by (kind) (rate(baton_step_secondz_bucket[$__rate_interval])) > 0', series), [
    'baton_step_secondz_bucket',
    'by (kind)',
  ])
  t.same(unknownIn('max(baton_runs{state="waiting"}) and on () (up{job="x"} == 1)', series), ['baton_runs{state}'])
  t.same(unknownIn('rate(baton_step_seconds[5m])', series), ['baton_step_seconds'], 'a histogram has no series of its own name')
  t.end()
})

test('every metric and label in a rule or a panel is registered', (t) => {
  const series = seriesOf(documentedMetrics())
  for (const { alert, expr } of rules) t.same(unknownIn(expr, series), [], alert)
  for (const { title, panels } of dashboards) {
    for (const panel of panels) for (const { expr } of panel.targets) t.same(unknownIn(expr, series), [], `${title}: ${panel.title}`)
  }
  t.end()
})

test('names follow the conventions of Prometheus', (t) => {
  for (const [name, { type }] of documentedMetrics()) {
    if (!name.startsWith('baton_')) continue
    t.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`)
    t.notMatch(name, /_(ms|milliseconds|kb|mb|minutes|percent)(_|$)/, `${name} has a base unit`)
  }
  t.end()
})

test('every alert says how bad it is and what to do, and was rehearsed: silent before, firing after', (t) => {
  const tests = (parse(read('alerts.test.yml')) as { tests: { name: string; promql_expr_test: { exp_samples: { labels: string }[] }[] }[] })
    .tests
  for (const { alert, labels, annotations } of rules) {
    t.match(labels.severity, /^(critical|warning)$/, alert)
    t.match(annotations.runbook, /^\S.{30,}\.$/, `${alert} has a sentence of advice`)
    const rehearsal = tests.find(({ name }) => name.startsWith(`${alert}:`))
    const outcomes = rehearsal?.promql_expr_test.map(({ exp_samples }) => exp_samples.map((sample) => sample.labels))
    t.same(outcomes, [[], [`{alertname="${alert}"}`]], `${alert} is rehearsed`)
  }
  t.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length, 'each has a name of its own')
  t.end()
})

test('the four dashboards can be shown: their data source is provisioned, their panels do not overlap', (t) => {
  const { datasources } = parse(read('grafana/provisioning/datasources/prometheus.yml')) as { datasources: { uid: string }[] }
  t.same(dashboards.map(({ uid }) => uid).sort(), ['baton-healthy', 'baton-slow', 'baton-stuck', 'baton-waiting'])
  for (const { title, panels } of dashboards) {
    t.equal(new Set(panels.map(({ id }) => id)).size, panels.length, `${title}: ids`)
    const taken = new Set<string>()
    let overlaps = 0
    for (const { datasource, description, gridPos, title: name } of panels) {
      t.equal(datasource.uid, datasources[0]!.uid, name)
      t.ok(description.length > 10, `${name} says what it tells`)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          if (x >= 24 || taken.has(`${x}/${y}`)) overlaps++
          taken.add(`${x}/${y}`)
        }
      }
    }
    t.equal(overlaps, 0, `${title}: places`)
  }
  t.end()
})

const hasPromtool = spawnSync('promtool', ['--version'], { stdio: 'ignore' }).status === 0

test('promtool takes the configuration and the rules, and every rehearsal ends as it should', {
  skip: hasPromtool ? false : 'promtool is not installed here (apt-get install prometheus)',
}, (t) => {
  for (const args of [
    ['check', 'config', 'prometheus.yml'],
    ['check', 'rules', 'alerts.yml'],
    ['test', 'rules', 'alerts.test.yml'],
  ]) {
    const { status, stdout, stderr } = spawnSync('promtool', args, { cwd: FOLDER, encoding: 'utf8' })
    t.equal(status, 0, `promtool ${args.join(' ')}\n${stdout}${stderr}`)
  }
  t.end()
})
