/** The chart's values: what its schema takes, what its README says of them, and what helm makes of them when there is a helm. */
import { execFileSync, spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { type Manifest, parseManifests, rendering, type Spec } from './deploy-manifests.ts'
import { portOf, ROOT, read, SERVICES } from './deploy-settings.ts'

const CHART = join(ROOT, 'deploy/helm/baton')
const HELM = process.env['HELM'] ?? 'helm'
const found = spawnSync(HELM, ['version', '--short'], { encoding: 'utf8' })
const skip =
  found.status === 0 ? false : `there is no helm on PATH (or in HELM): the stored renderings are tested, the chart is not rendered anew`

const values = parse(read('deploy/helm/baton/values.yaml')) as Spec
const cases = globSync('ci/*-values.yaml', { cwd: CHART }).map((file) => basename(file, '-values.yaml'))
const valuesOf = (name: string) => parse(read(`deploy/helm/baton/ci/${name}-values.yaml`)) as Spec

type Validate = ((data: unknown) => boolean) & { errors?: { instancePath: string }[] | null }

/** Ajv is a dependency of the engine, not of the examples. */
function compileSchema(): Validate {
  const { Ajv } = createRequire(join(ROOT, 'packages/engine/package.json'))('ajv') as {
    Ajv: new (options: object) => { compile(schema: unknown): Validate }
  }
  return new Ajv({ allErrors: true, strict: false }).compile(JSON.parse(read('deploy/helm/baton/values.schema.json')))
}

/** As helm does it: maps are merged, lists and scalars replaced. */
function merge(base: unknown, over: unknown): unknown {
  const isMap = (value: unknown): value is Spec => typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isMap(base) || !isMap(over)) return over === undefined ? base : over
  return Object.fromEntries([...new Set([...Object.keys(base), ...Object.keys(over)])].map((key) => [key, merge(base[key], over[key])]))
}

t.test('the schema takes the default values and every example', (t) => {
  const validate = compileSchema()
  for (const [name, over] of [['values.yaml', {}], ...cases.map((name) => [name, valuesOf(name)])] as [string, Spec][]) {
    validate(merge(values, over))
    t.same(validate.errors ?? [], [], name)
  }
  t.end()
})

const WRONG: [string, Spec][] = [
  ['', { imagee: {} }],
  ['/services', { services: { worker: {} } }],
  ['/services/fanout/replicas', { services: { fanout: { replicas: '2' } } }],
  ['/services/fanout/resources/limits/memory', { services: { fanout: { resources: { limits: { memory: '1.5Gi' } } } } }],
  ['/services/fanout/readinessPath', { services: { fanout: { readinessPath: '/health' } } }],
  ['/config', { config: { DATABASE_URL: 'postgres://in-the-open' } }],
  ['/config', { config: { logLevel: 'info' } }],
  ['/config', { config: { OTEL_EXPORTER_OTLP_HEADERS: 'authorization=in-the-open' } }],
  ['/tracing/endpoint', { tracing: { endpoint: 'collector:4317' } }],
  ['/postgres/url', { postgres: { url: 'mysql://host' } }],
  ['/secrets/masterKey', { secrets: { masterKey: 'too short' } }],
  ['/terminationGracePeriodSeconds', { terminationGracePeriodSeconds: 10 }],
  ['/keda/trigger', { keda: { trigger: 'kafka' } }],
  ['/keda/redis/address', { keda: { redis: { address: 'redis://redis:6379' } } }],
]

t.test('the schema refuses what cannot work', (t) => {
  const validate = compileSchema()
  for (const [place, over] of WRONG) {
    t.notOk(validate(merge(values, over)), place)
    const places = (validate.errors ?? []).map(({ instancePath }) => instancePath)
    t.ok(
      places.some((path) => place.startsWith(path)),
      `${place}: ${places.join(' ')}`,
    )
  }
  t.end()
})

/** `a.b.c` → value, of everything that has no further keys. */
function leaves(value: unknown, path: string): [string, unknown][] {
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length > 0
  if (!isMap) return [[path, value]]
  return Object.entries(value as Spec).flatMap(([key, inner]) => leaves(inner, path === '' ? key : `${path}.${key}`))
}

const at = (path: string) => path.split('.').reduce<unknown>((value, key) => (value as Spec | undefined)?.[key], values)
const rowsOf = (head: RegExp) => read('deploy/helm/baton/README.md').split(head)[1]!.split('\n\n')[0]!.trim().split('\n')
const cellsOf = (row: string) =>
  row
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) =>
      cell
        .trim()
        .replaceAll('\\|', '|')
        .replace(/^`(.*)`$/, '$1'),
    )

t.test('the README has every value with its default, and none that is not there', (t) => {
  const rows = rowsOf(/\| value \| default \| what \|\n.*\n/).map(cellsOf)
  const [first] = Object.keys(values['services'])
  for (const [name, text] of rows) {
    const value = at(name!.replace('<service>', first!))
    t.ok(value !== undefined, `${name} is a value`)
    if (text) t.same(JSON.parse(text), value, `${name} is ${text}`)
  }
  const told = rows.map(([name]) => name!)
  for (const [path] of leaves(values, '')) {
    const name = path.replace(/^services\.[^.]+/, 'services.<service>')
    t.ok(
      told.some((row) => name === row || name.startsWith(`${row}.`)),
      `${path} is told`,
    )
  }
  t.end()
})

t.test('the README has the sizes of every service', async (t) => {
  const rows = rowsOf(/\| service \| port \| replicas \| requests \| limits \|\n.*\n/).map(cellsOf)
  t.same(rows.map(([name]) => name).sort(), SERVICES)
  const size = ({ cpu, memory }: Spec) => `${cpu} CPU, ${memory}`
  for (const [name, ...rest] of rows) {
    const { replicas, resources } = values['services'][name!]
    t.same(rest, [String(await portOf(name!)), String(replicas), size(resources.requests), size(resources.limits)], name!)
  }
})

t.test('the stored renderings are of this chart: `node deploy/helm/render.ts` makes them', (t) => {
  const digest = execFileSync(process.execPath, [join(ROOT, 'deploy/helm/render.ts'), '--digest'], { encoding: 'utf8' }).trim()
  for (const name of cases) t.equal(read(`deploy/helm/rendered/${name}.yaml`).split('\n')[0], `# chart ${digest}`, name)
  t.end()
})

const helm = (...args: string[]) => spawnSync(HELM, args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })

t.test('helm finds nothing to mend, and renders what is stored', { skip }, (t) => {
  for (const name of cases) {
    const lint = helm('lint', '--strict', CHART, '--values', join(CHART, 'ci', `${name}-values.yaml`))
    t.equal(lint.status, 0, `${name}: ${lint.stdout}${lint.stderr}`)
    const printed = execFileSync(process.execPath, [join(ROOT, 'deploy/helm/render.ts'), '--print', name], { encoding: 'utf8' })
    const sorted = (manifests: Manifest[]) =>
      manifests.sort((a, b) => (`${a.kind}/${a.metadata.name}` < `${b.kind}/${b.metadata.name}` ? -1 : 1))
    t.same(sorted(parseManifests(printed)), sorted(rendering(name)), name)
  }
  t.end()
})

const REFUSED: [RegExp, string[]][] = [
  [/image\.registry is not set/, ['image.registry=']],
  [/postgres\.url or postgres\.existingSecret is not set/, ['postgres.url=']],
  [/redis\.url or redis\.existingSecret is not set/, ['redis.url=']],
  [/preStopSeconds and the 25 s/, ['preStopSeconds=10']],
  [/ingress\.host is not set/, ['ingress.enabled=true']],
  [/keda\.redis\.address is not set/, ['keda.enabled=true']],
  [/would both set its replicas/, ['keda.enabled=true,keda.redis.address=r:6379', 'services.http-worker.autoscaling.enabled=true']],
  [/keda\.prometheus\.serverAddress is not set/, ['keda.enabled=true,keda.trigger=prometheus']],
]

t.test('helm says what is missing', { skip }, (t) => {
  for (const [message, set] of REFUSED) {
    const args = set.flatMap((text) => ['--set', text])
    const { status, stderr } = helm('template', 'baton', CHART, '--values', join(CHART, 'ci/default-values.yaml'), ...args)
    t.not(status, 0, String(message))
    t.match(stderr, message)
  }
  t.end()
})

t.test('keys are made at the install, and an upgrade that cannot find them fails', { skip }, (t) => {
  const render = (...args: string[]) =>
    helm(
      'template',
      'baton',
      CHART,
      '--values',
      join(CHART, 'ci/default-values.yaml'),
      '--set',
      'secrets.adminKey=,secrets.masterKey=',
      ...args,
    )
  const keys = () => {
    const data = parseManifests(render().stdout).find(({ kind, metadata }) => kind === 'Secret' && metadata.name === 'baton')!.data!
    return ['BATON_ADMIN_KEY', 'BATON_MASTER_KEY'].map((key) => Buffer.from(data[key]!, 'base64').toString())
  }
  const [first, second] = [keys(), keys()]
  t.match(first[0], /^[A-Za-z0-9]{48}$/)
  t.equal(Buffer.from(first[1]!, 'base64').length, 32)
  t.notSame(first, second)
  const upgrade = render('--is-upgrade')
  t.not(upgrade.status, 0)
  t.match(upgrade.stderr, /the Secret baton with BATON_MASTER_KEY cannot be found/)
  t.end()
})
