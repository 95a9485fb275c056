/** A real Prometheus over the six services at work: it reaches every target, and every panel of every dashboard has something to show. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient, type Json } from '@baton/client'
import { stubServer, until } from '@baton/testing'
import { type Test, test } from 'tap'
import { startShop } from '../src/shop.ts'
import { documentedMetrics, SERIES_OF_EXPORTERS } from './read-metrics.ts'
import { hasExporters, startExporters } from './run-exporters.ts'
import { findReplicas, hasPrometheus, type Prometheus, startPrometheus } from './run-prometheus.ts'
import { type Stack, startStack } from './start-stack.ts'

const ROOT = join(import.meta.dirname, '../..')
const DASHBOARDS = join(ROOT, 'compose/monitoring/grafana/dashboards')
const readExample = (name: string) => readFileSync(join(ROOT, 'examples', name), 'utf8')
/** What Grafana puts in place of it: some scrapes, which are three seconds apart here. */
const RATE_INTERVAL = '30s'

/** Some of everything: runs that end in each way, that wait for people, for time and for models, and those who watch. */
async function startWork(t: Test, stack: Stack) {
  const client = createClient({ url: stack.url, fanoutUrl: stack.liveUrl, key: stack.adminKey })
  const [shop, receiver] = [await startShop(), await stubServer(t)]
  t.teardown(() => shop.close())
  await client.workflows.put('refund', readExample('refund.yaml'))
  await client.workflows.put('research', readExample('research.yaml'))
  const notify: Json = [{ webhook: { url: receiver.url } }]
  const question = { title: 'Go on?', assignees: ['role:admin', 'user:ann'], allowSelf: true, notify, timeout: '1h' }
  const nap = { id: 'nap', wait: { for: '100ms' } }
  const bad = { id: 'bad', onError: 'continue', http: { url: `${shop.url}/nothing` } }
  await client.workflows.put('mixed', { steps: [nap, bad, { id: 'gate', approval: question }] })
  const headers = { authorization: `Bearer ${stack.adminKey}` }
  const watch = () => new WebSocket(`${stack.liveUrl.replace('http', 'ws')}/ws?token=${stack.adminKey}`)
  const stays = watch()
  t.teardown(() => stays.close())
  stays.addEventListener('open', () => stays.send(JSON.stringify({ type: 'subscribe', topic: 'all' })))

  /** One round of it. */
  return async () => {
    const leaves = watch()
    const input = { shop: shop.url }
    const pending = await client.runs.start('mixed', { input: {} })
    const following = new AbortController()
    const followed = fetch(`${stack.liveUrl}/sse/runs/${pending.id}`, { headers, signal: following.signal }).then((response) =>
      response.text(),
    )
    await client.runs.start('refund', { input: { ...input, orderId: 'small' }, waitMs: 30_000 })
    const decided = await client.runs.start('refund', { input: { ...input, orderId: 'big' } })
    const drafted = await client.runs.start('research', { input: { question: 'Why?' } })
    for (const [run, step] of [
      [decided.id, 'review'],
      [drafted.id, 'release'],
      [pending.id, 'gate'],
    ] as const) {
      await until(async () => (await client.runs.why(run)).items.some((item) => item.step === step && item.status === 'waiting'))
      if (run !== pending.id) await client.runs.decide(run, step, { decision: 'approve' })
    }
    await fetch(`${stack.url}/callbacks/forged`, { method: 'POST' })
    await client.tasks.claimNext(['nobody'])
    leaves.close()
    following.abort()
    await followed.catch(() => {})
  }
}

const ofExporters = (expr: string) => Object.keys(SERIES_OF_EXPORTERS).some((name) => expr.includes(name))

/** Panels that show nothing yet: no sample, or none that is a number. Without exporters what they tell is not looked for. */
async function emptyPanels(prometheus: Prometheus, withExporters: boolean): Promise<string[]> {
  const empty: string[] = []
  for (const file of readdirSync(DASHBOARDS)) {
    const { title, panels } = JSON.parse(readFileSync(join(DASHBOARDS, file), 'utf8')) as {
      title: string
      panels: { title: string; targets: { expr: string }[] }[]
    }
    for (const panel of panels) {
      for (const { expr } of panel.targets.filter(({ expr }) => withExporters || !ofExporters(expr))) {
        const samples = await prometheus.query(expr.replaceAll('$__rate_interval', RATE_INTERVAL))
        if (!samples.some(({ value }) => Number.isFinite(value))) empty.push(`${title} / ${panel.title}: ${expr}`)
      }
    }
  }
  return empty
}

const skip = hasPrometheus() ? false : 'prometheus is not installed here (apt-get install prometheus)'

test('Prometheus reaches every service, and every panel has data after some work', { skip, timeout: 180_000 }, async (t) => {
  const stack = await startStack(t)
  const replicas = await findReplicas(stack)
  const exporters = stack.servers && hasExporters() ? await startExporters(t, stack.servers) : undefined
  const prometheus = await startPrometheus(t, { ...replicas, ...exporters })
  const work = await startWork(t, stack)
  let empty: string[] = []
  const round = async () => {
    await work()
    empty = await emptyPanels(prometheus, exporters !== undefined)
    return empty.length === 0
  }
  await until(round, { timeoutMs: 90_000, what: 'every panel to have data' }).catch(() => {})
  t.same(empty, [], 'no panel is empty')

  const { activeTargets } = await prometheus.get<{ activeTargets: { labels: { job: string }; health: string; lastError: string }[] }>(
    '/api/v1/targets',
  )
  t.same(activeTargets.map(({ labels }) => labels.job).sort(), [...Object.keys({ ...replicas, ...exporters }), 'prometheus'].sort())
  for (const { labels, health, lastError } of activeTargets) t.equal(health, 'up', `${labels.job} ${lastError}`)
  const { groups } = await prometheus.get<{ groups: { rules: { name: string; health: string; state: string; lastError?: string }[] }[] }>(
    '/api/v1/rules',
  )
  const rules = groups.flatMap((group) => group.rules)
  t.ok(rules.length > 20)
  for (const rule of rules) t.equal(rule.health, 'ok', `${rule.name} ${rule.lastError ?? ''}`)
  t.same(
    rules.filter(({ state }) => state === 'firing').map(({ name }) => name),
    [],
    'a stack at work alarms nobody',
  )
  const missing = 'the exporters are not installed here (apt-get install prometheus-postgres-exporter prometheus-redis-exporter)'
  await t.test('the exporters tell what alerts and panels ask for', { skip: exporters ? false : missing }, async (t) => {
    for (const [name, labels] of Object.entries(SERIES_OF_EXPORTERS)) {
      // What is shared by all databases stands under no name.
      const samples = await prometheus.query(name)
      t.ok(
        samples.some((sample) => labels.every((label) => label in sample.labels)),
        `${name} with ${labels.join(', ') || 'no labels'}`,
      )
    }
    for (const name of ['pg_up', 'redis_up']) t.equal((await prometheus.query(name))[0]?.value, 1, name)
  })
  await t.test('what the services tell is what docs/metrics.md says', (t) => compareWithPage(t, replicas))
})

/** Names of metrics that the page has, and a service does not tell, or the other way round. */
async function compareWithPage(t: Test, replicas: Record<string, string[]>): Promise<void> {
  const metrics = documentedMetrics()
  const byUse = new Set([...metrics].filter(([, { service }]) => service === 'those that do it').map(([name]) => name))
  const unseen = new Set(byUse)
  const onLinux = /^process_(heap_bytes|max_fds|open_fds|virtual_memory_bytes)$/
  for (const [service, [host]] of Object.entries(replicas)) {
    const text = await (await fetch(`http://${host}/metrics`)).text()
    const names = [...text.matchAll(/^# TYPE (\S+) /gm)].map((match) => match[1]!).filter((name) => !onLinux.test(name))
    for (const name of names) unseen.delete(name)
    const told = names.filter((name) => !byUse.has(name))
    const written = [...metrics].filter(([, metric]) => ['every service', service].includes(metric.service)).map(([name]) => name)
    t.same(told.sort(), written.sort(), service)
  }
  t.same([...unseen], [], 'what the page says of those that do it, some service tells')
}
