/**
 * The stack in containers as `make up` and `make demo` have left it (BATON_CONTAINERS=running says so): what the containers may do, what they
 * give away, and that http-workers come and go in the middle of a load.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '@baton/client'
import { until } from '@baton/testing'
import t from 'tap'
import { stackSettings } from '../src/settings.ts'

const ROOT = join(import.meta.dirname, '../..')
const SECRETS = join(ROOT, '.local/secrets')
const LIMITS_MIB = {
  orchestrator: 1024,
  'workflow-runner': 1024,
  'http-worker': 512,
  'hitl-worker': 512,
  'agent-runner': 2048,
  fanout: 1024,
}
const SERVICES = Object.keys(LIMITS_MIB) as (keyof typeof LIMITS_MIB)[]
const IMAGE_MIB_MAX = 30
const MIB = 2 ** 20
const skip =
  process.env['BATON_CONTAINERS'] === 'running'
    ? false
    : 'no stack in containers: BATON_MODE=docker make up, make demo, then BATON_CONTAINERS=running'

interface Container {
  Id: string
  Image: string
  Config: { User: string; Labels: Record<string, string> }
  HostConfig: { ReadonlyRootfs: boolean; CapDrop: string[]; SecurityOpt: string[]; Memory: number; NanoCpus: number; Init: boolean }
  State: { Health?: { Status: string } }
}

/** New containers are to reach the shop, as those do that `make demo` has left. */
const env = { ...process.env, BATON_HTTP_ALLOW: 'shop' }

function docker(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('docker', args, { cwd: ROOT, env, encoding: 'utf8', maxBuffer: 64 * MIB })
  if (status !== 0) throw new Error(`docker ${args.join(' ')}: ${stderr}`)
  return stdout.trim()
}

/** The containers of a service, or of all. */
function containers(service?: string): Container[] {
  const filter = service ? ['--filter', `label=com.docker.compose.service=${service}`] : []
  const ids = docker('ps', '--quiet', '--filter', 'label=com.docker.compose.project=baton', ...filter)
    .split('\n')
    .filter(Boolean)
  return ids.length === 0 ? [] : (JSON.parse(docker('inspect', ...ids)) as Container[])
}

const inside = (container: Container, script: string) => docker('exec', container.Id, 'node', '--input-type=module', '--eval', script)

t.test('what is set for a container holds inside of it', { skip }, async (t) => {
  for (const service of SERVICES) {
    const [container] = containers(service)
    t.equal(container!.State.Health?.Status, 'healthy', service)
    t.match(container, { Config: { User: '1001:1001' }, HostConfig: { ReadonlyRootfs: true, CapDrop: ['ALL'], Init: true } })
    const script = `
      import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
      const read = (...files) => { for (const file of files) try { return readFileSync(file, 'utf8').trim() } catch {} }
      let root = 'written'
      try { writeFileSync('/srv/written', '') } catch (error) { root = error.code }
      writeFileSync('/tmp/written', '')
      const capabilities = /CapEff:\\s*(\\S+)/.exec(read('/proc/self/status'))[1]
      const service = readdirSync('/proc').map((pid) => read('/proc/' + pid + '/cmdline') ?? '').find((line) => line.split('\\0').at(-2) === '/srv/app/main.js')
      const heap = Number(/--max-old-space-size=([0-9]+)/.exec(service)?.[1])
      const memory = Number(read('/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'))
      console.log(JSON.stringify({ uid: process.getuid(), root, capabilities, memory, heap }))`
    const seen = JSON.parse(inside(container!, script)) as { uid: number; root: string; capabilities: string; memory: number; heap: number }
    t.strictSame([seen.uid, seen.root, Number.parseInt(seen.capabilities, 16)], [1001, 'EROFS', 0])
    t.equal(seen.memory / MIB, LIMITS_MIB[service], `${service} may use ${LIMITS_MIB[service]} MiB`)
    t.equal(seen.heap, Math.floor(LIMITS_MIB[service] * 0.6), 'of which three fifths are heap')
  }
})

t.test('the reference page has its files', { skip }, async (t) => {
  const page = await fetch(`${stackSettings().url}/docs/static/swagger-ui.css`)
  t.strictSame([page.status, page.headers.get('content-type')?.split(';', 1)[0]], [200, 'text/css'])
})

t.test('no secret is in an image or in what docker tells of a container, and images are small', { skip }, async (t) => {
  const values = readdirSync(SECRETS)
    .map((name) => readFileSync(join(SECRETS, name), 'utf8'))
    .filter((value) => value.length > 15)
  const all = containers()
  const told = JSON.stringify(all)
  for (const image of new Set(all.map(({ Image }) => Image))) {
    const history = docker('history', '--no-trunc', image)
    for (const value of values) t.notOk(history.includes(value) || docker('inspect', image).includes(value))
  }
  for (const value of values) t.notOk(told.includes(value))
  const base = Number(docker('image', 'inspect', '--format', '{{.Size}}', process.env['NODE_IMAGE'] ?? 'node:26-alpine'))
  for (const service of SERVICES) {
    const size = Number(docker('image', 'inspect', '--format', '{{.Size}}', containers(service)[0]!.Image))
    t.ok(size - base <= IMAGE_MIB_MAX * MIB, `${service}: its base and ${((size - base) / MIB).toFixed(1)} MiB`)
  }
})

t.test(
  'five http-workers share the work; going to five and back to one in the middle of it loses nothing',
  { skip, timeout: 300_000 },
  async (t) => {
    const { url, apiKey } = stackSettings()
    const client = createClient({ url, key: apiKey! })
    const steps = Array.from({ length: 10 }, (_, n) => ({ id: `s${n}`, http: { url: `http://shop:8090/orders/\${{ input.id }}-${n}` } }))
    await client.workflows.put('fleet-load', { steps })
    const scale = (count: number) =>
      docker('compose', 'up', '--detach', '--no-recreate', '--no-deps', '--wait', '--scale', `http-worker=${count}`, 'http-worker')
    const load = async (tag: string, count: number) => {
      const items = Array.from({ length: count }, (_, n) => ({ input: { id: `${tag}-${n}` }, labels: { tag } }))
      await client.runs.startBatch('fleet-load', items)
    }
    const ended = (tag: string) => client.runs.count({ workflow: 'fleet-load', status: 'succeeded', label: `tag:${tag}` })
    const made = (container: Container) =>
      Number(
        inside(
          container,
          `
      const text = await (await fetch('http://127.0.0.1:8083/metrics')).text()
      console.log(/^baton_http_calls_total\\{outcome="succeeded"\\} (\\d+)/m.exec(text)?.[1] ?? 0)`,
        ),
      )

    scale(5)
    t.equal(containers('http-worker').length, 5)
    const before = new Map(containers('http-worker').map((container) => [container.Id, made(container)]))
    await load('five', 400)
    await until(async () => (await ended('five')) === 400, { timeoutMs: 120_000, what: 'all runs to end' })
    const shares = containers('http-worker').map((container) => (made(container) - before.get(container.Id)!) / 4_000)
    t.ok(
      shares.every((share) => share > 0.1),
      `each did more than a tenth: ${shares.map((share) => share.toFixed(2)).join(', ')}`,
    )

    await load('shrink', 400)
    await until(async () => (await ended('shrink')) > 20, { timeoutMs: 60_000 })
    scale(1)
    await until(async () => (await ended('shrink')) === 400, { timeoutMs: 120_000, what: 'all runs to end with one worker' })
    t.equal(containers('http-worker').length, 1)
    await load('grow', 400)
    await until(async () => (await ended('grow')) > 20, { timeoutMs: 60_000 })
    scale(2)
    await until(async () => (await ended('grow')) === 400, { timeoutMs: 120_000 })
    t.equal(await client.runs.count({ workflow: 'fleet-load' }), 1_200, 'and none was started twice')
  },
)
