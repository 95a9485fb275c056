/** compose.yaml says of every service what the images promise, and nothing that the services do not read. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parseDocument } from 'yaml'
import { mibOf } from './deploy-manifests.ts'
import { problemsOf, ROOT, read, SECRETS, SERVICES, SIZES, settingNames } from './deploy-settings.ts'

interface Container {
  environment: Record<string, string | null>
  secrets: string[]
  read_only: boolean
  user: string
  init: boolean
  restart: string
  cap_drop: string[]
  security_opt: string[]
  stop_grace_period: string
  logging: { options: Record<string, string> }
  networks: string[]
  ports?: string[]
  image?: string
  deploy: { replicas?: string; resources: { limits: { cpus: string; memory: string }; reservations: { memory: string } } }
}

const FILES = ['compose/compose.yaml', 'compose/compose.dev.yaml']
const PROFILES = ['demo', 'monitoring', 'tls', 'tools']

/** What a `${NAME:-default}` is when nobody sets anything. */
function byDefault(text: string): string {
  const [, fallback] = /^\$\{[A-Z_]+:-(.*)\}$/.exec(text) ?? []
  return fallback === undefined ? text : byDefault(fallback)
}

/** Compose writes 512m where Kubernetes writes 512Mi. */
const quantity = (text: string) => byDefault(text).replace(/m$/, 'Mi').replace(/g$/, 'Gi')

function readCompose() {
  const document = parseDocument(read('compose/compose.yaml'), { merge: true })
  t.strictSame([...document.errors, ...document.warnings], [])
  return document.toJS() as {
    services: Record<string, Container>
    secrets: Record<string, unknown>
    networks: Record<string, { internal?: boolean }>
  }
}

const compose = readCompose()

for (const name of SERVICES) {
  t.test(`${name}: hardened, bounded, and given every setting that it reads`, async (t) => {
    const container = compose.services[name]!
    t.match(container, { read_only: true, user: '1001:1001', init: true, restart: 'unless-stopped', stop_grace_period: '30s' })
    t.strictSame([container.cap_drop, container.security_opt], [['ALL'], ['no-new-privileges:true']])
    t.ok(container.logging.options['max-size'])
    const { limits, reservations } = container.deploy.resources
    const { replicas, cpu, memoryMib } = SIZES[name]!
    t.equal(Number(byDefault(container.deploy.replicas!)), replicas)
    t.strictSame([Number(byDefault(limits.cpus)), mibOf(quantity(limits.memory))], [cpu, memoryMib])
    t.ok(mibOf(quantity(reservations.memory)) <= memoryMib / 2)

    const given = Object.keys(container.environment)
    const known = await settingNames(name)
    t.strictSame(given.map((setting) => (known.includes(setting) ? setting : setting.replace(/_FILE$/, ''))).sort(), known.sort())
    for (const setting of given.filter((setting) => SECRETS.includes(setting))) t.fail(`${setting} would be seen by docker inspect`)
    const files = Object.values(container.environment).filter((value) => value?.startsWith('/run/secrets/'))
    t.strictSame(
      files.map((path) => path!.slice('/run/secrets/'.length)).sort(),
      [...container.secrets].sort(),
      'what is read is mounted, and nothing else',
    )
    const values = Object.entries(container.environment).flatMap(([setting, value]) =>
      value === null ? [] : [[setting, byDefault(value)]],
    )
    t.strictSame(await problemsOf(name, Object.fromEntries(values)), [])
  })
}

t.test('Postgres and Redis are inside, without a port', async (t) => {
  t.equal(compose.networks['inside']!.internal, true)
  for (const name of ['postgres', 'redis']) t.match(compose.services[name], { networks: ['inside'], ports: undefined })
})

t.test('exporters are in the profile of Prometheus, are scraped, and are told passwords by files alone', async (t) => {
  const prometheus = parseDocument(read('compose/monitoring/prometheus.yml')).toJS() as { scrape_configs: { job_name: string }[] }
  for (const name of ['postgres-exporter', 'redis-exporter']) {
    const container = compose.services[name]!
    t.match(container, { profiles: ['monitoring'], read_only: true, cap_drop: ['ALL'], ports: undefined })
    const files = Object.values(container.environment).filter((value) => value?.startsWith('/run/secrets/'))
    t.strictSame(
      files,
      container.secrets.map((secret) => `/run/secrets/${secret}`),
    )
    t.ok(
      prometheus.scrape_configs.some((scrape) => scrape.job_name === name),
      name,
    )
  }
})

t.test('every secret that is mounted is declared', async (t) => {
  const used = new Set(Object.values(compose.services).flatMap(({ secrets = [] }) => secrets))
  t.strictSame([...used].sort(), Object.keys(compose.secrets).sort())
})

const engine = spawnSync('docker', ['compose', 'version']).status === 0
t.test('docker compose takes the files, with every profile', { skip: engine ? false : 'there is no docker compose on PATH' }, async (t) => {
  const secrets = mkdtempSync(join(tmpdir(), 'baton-secrets-'))
  t.teardown(() => rmSync(secrets, { recursive: true }))
  for (const name of Object.keys(compose.secrets)) writeFileSync(join(secrets, name), 'x')
  for (const files of [FILES.slice(0, 1), FILES]) {
    const args = [
      'compose',
      ...files.flatMap((file) => ['--file', file]),
      ...PROFILES.flatMap((profile) => ['--profile', profile]),
      'config',
      '--quiet',
    ]
    const { status, stderr } = spawnSync('docker', args, {
      cwd: ROOT,
      encoding: 'utf8',
      env: { ...process.env, BATON_SECRETS_DIR: secrets },
    })
    t.equal(status, 0, stderr)
    t.equal(stderr, '', 'and warns of nothing')
  }
})
