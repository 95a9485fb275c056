/** The stack in containers as `make up` has left it, before it has done anything (BATON_CONTAINERS=idle says so): what it takes to be there. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '@baton/testing'
import t from 'tap'
import { writeNextVersion } from '../chaos/next-version.ts'

const tell = (line: string) => void process.stderr.write(`${line}\n`)

const ROOT = join(import.meta.dirname, '../..')
const SERVICES = ['orchestrator', 'workflow-runner', 'http-worker', 'hitl-worker', 'agent-runner', 'fanout']
/** What each holds of its own and its share of what it shares with others, the program of Node among it. */
const IDLE_MIB_MAX = 450
/** Garbage of the start is collected by and by. */
const SETTLE_MS = 90_000
const skip =
  process.env['BATON_CONTAINERS'] === 'idle' ? false : 'no idle stack in containers: BATON_MODE=docker make up, then BATON_CONTAINERS=idle'

function docker(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('docker', args, { cwd: ROOT, encoding: 'utf8' })
  if (status !== 0) throw new Error(`docker ${args.join(' ')}: ${stderr}`)
  return stdout.trim()
}

/** Resident and proportional MiB of the service in the first container of that name. */
function memoryOf(service: string): { rss: number; pss: number } {
  const filters = ['project=baton', `service=${service}`].flatMap((label) => ['--filter', `label=com.docker.compose.${label}`])
  const [id] = docker('ps', '--quiet', ...filters).split('\n')
  const text = docker('exec', id!, 'sh', '-c', 'cat /proc/$(cat /proc/1/task/1/children)/smaps_rollup')
  const of = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)![1]) / 1024
  return { rss: of('Rss'), pss: of('Pss') }
}

t.test(`six services at rest hold less than ${IDLE_MIB_MAX} MiB together`, { skip, timeout: SETTLE_MS + 30_000 }, async (t) => {
  const measure = () => SERVICES.map((service) => ({ service, ...memoryOf(service) }))
  const sum = (of: 'rss' | 'pss') => measured.reduce((total, each) => total + each[of], 0)
  let measured = measure()
  await until(
    () => {
      measured = measure()
      return sum('pss') < IDLE_MIB_MAX
    },
    { timeoutMs: SETTLE_MS, what: 'the services to be small' },
  ).catch(() => {})
  for (const { service, rss, pss } of measured)
    t.comment(`${service}: ${rss.toFixed(0)} MiB resident, ${pss.toFixed(0)} MiB of them its own share`)
  t.ok(
    sum('pss') < IDLE_MIB_MAX,
    `${sum('pss').toFixed(0)} MiB of memory, ${sum('rss').toFixed(0)} MiB by RSS, which counts Node six times`,
  )
})

t.test(
  'after a change of a source dependencies come from the cache, and bundles alone are made again',
  { skip, timeout: 200_000 },
  async (t) => {
    const checkout = mkdtempSync(join(tmpdir(), 'baton-changed-'))
    t.teardown(() => rmSync(checkout, { recursive: true, force: true }))
    writeNextVersion(checkout)
    const image = process.env['NODE_IMAGE'] ?? 'node:26-alpine'
    const args = ['build', '--progress=plain', '--network=host', `--build-arg=NODE_IMAGE=${image}`, '--build-arg=SERVICE=http-worker']
    const from = performance.now()
    const { status, stderr } = spawnSync('docker', [...args, '--file', join(checkout, 'compose/Dockerfile'), checkout], {
      encoding: 'utf8',
    })
    const ms = Math.round(performance.now() - from)
    t.equal(status, 0, `built in ${ms} ms`)
    tell(`containers: a rebuild after a change of a source took ${ms} ms`)
    const cached = (step: RegExp) => {
      const number = new RegExp(`^#(\\d+) \\[${step.source}`, 'm').exec(stderr)?.[1]
      return new RegExp(`^#${number} CACHED`, 'm').test(stderr)
    }
    t.ok(cached(/install \d+\/\d+\] RUN/), 'nothing is installed')
    t.notOk(cached(/build \d+\/\d+\] RUN node deploy\/bundle/), 'the changed source is bundled')
  },
)
