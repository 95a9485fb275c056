/** The stack in containers as `make up` has left it, before it has done anything (BATON_CONTAINERS=idle says so): what it takes to be there. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { until } from '@baton/testing'
import t from 'tap'

const ROOT = join(import.meta.dirname, '../..')
const SERVICES = ['orchestrator', 'workflow-runner', 'http-worker', 'hitl-worker', 'agent-runner', 'fanout']
/** Of one container of each: what it is charged for (`docker stats`), what is its own, and what all of them have in memory, each page once. */
const IDLE_MIB_MAX = 450
/** Garbage of the start is collected once a service has idled for a minute. */
const SETTLE_MS = 90_000
const skip =
  process.env['BATON_CONTAINERS'] === 'idle' ? false : 'no idle stack in containers: BATON_MODE=docker make up, then BATON_CONTAINERS=idle'

function docker(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('docker', args, { cwd: ROOT, encoding: 'utf8' })
  if (status !== 0) throw new Error(`docker ${args.join(' ')}: ${stderr}`)
  return stdout.trim()
}

/** The first container of a service. */
function containerOf(service: string): string {
  const filters = ['project=baton', `service=${service}`].flatMap((label) => ['--filter', `label=com.docker.compose.${label}`])
  return docker('ps', '--quiet', ...filters).split('\n')[0]!
}

const UNITS: Record<string, number> = { KiB: 2 ** -10, MiB: 1, GiB: 2 ** 10 }

/** What a container is charged for, in MiB. */
function chargedOf(container: string): number {
  const shown = docker('stats', '--no-stream', '--format', '{{.MemUsage}}', container)
  const [, number, unit] = /^([\d.]+)(\w+)/.exec(shown)!
  return Number(number) * UNITS[unit!]!
}

/** MiB of the service that are in memory: with all that it shares, with its share of that, and what is its own (`container_memory_rss`). */
type Resident = Record<'Rss' | 'Pss' | 'Anonymous', number>

function residentOf(container: string): Resident {
  // a health check may be a child of the first process too
  const script = 'for pid in $(cat /proc/1/task/1/children); do grep -q app/main.js /proc/$pid/cmdline && cat /proc/$pid/smaps_rollup; done'
  const text = docker('exec', container, 'sh', '-c', script)
  const of = (name: keyof Resident) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)![1]) / 1024
  return { Rss: of('Rss'), Pss: of('Pss'), Anonymous: of('Anonymous') }
}

t.test(`six services at rest take less than ${IDLE_MIB_MAX} MiB together`, { skip, timeout: SETTLE_MS + 60_000 }, async (t) => {
  const containers = SERVICES.map(containerOf)
  let charged: number[] = []
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0)
  const isSmall = () => {
    charged = containers.map(chargedOf)
    return sum(charged) < IDLE_MIB_MAX
  }
  await until(isSmall, { timeoutMs: SETTLE_MS, what: 'the services to be small' }).catch(() => {})
  const resident = containers.map(residentOf)
  for (const [n, service] of SERVICES.entries())
    t.comment(`${service}: ${charged[n]!.toFixed(0)} MiB, ${JSON.stringify(resident[n], (_, value) => Math.round(value) || value)}`)
  const together = (name: keyof Resident) => sum(resident.map((one) => one[name]))
  t.ok(sum(charged) < IDLE_MIB_MAX, `charged ${sum(charged).toFixed(0)} MiB`)
  t.ok(together('Anonymous') < IDLE_MIB_MAX, `RSS as containers count it ${together('Anonymous').toFixed(0)} MiB`)
  t.ok(
    together('Pss') < IDLE_MIB_MAX,
    `resident together ${together('Pss').toFixed(0)} MiB; ${together('Rss').toFixed(0)} if Node's own pages count six times`,
  )
})
