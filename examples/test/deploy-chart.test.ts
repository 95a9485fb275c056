/** The Helm chart's manifests, as helm rendered them, held against what the services are. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { testRedis } from '@baton/testing'
import t from 'tap'
import { parse } from 'yaml'
import { byComponent, environmentOf, type Manifest, mibOf, podOf, rendering, type Spec } from './deploy-manifests.ts'
import { load, portOf, problemsOf, ROOT, read, SECRETS, SERVICES, SIZES } from './deploy-settings.ts'

const RENDERINGS = ['default', 'full', 'prometheus']
const PROBES = { startupProbe: '/healthz', livenessProbe: '/healthz', readinessProbe: '/ready' }
interface Runtime {
  agentTurns: unknown
  createProducer(queue: unknown, url: string): { add(job: object): Promise<void>; close(): Promise<void> }
  connectRedis(url: string, options: { name: string }): { llen(key: string): Promise<number>; disconnect(): void }
}
const RUN = { runId: '0199a5b0-0000-7000-8000-000000000000', namespace: 'default', path: 'ask', generation: 0, attempt: 1 }
const TURN = { ...RUN, at: 0, timeoutMs: 1_000, model: 'mock/echo', prompt: 'hello' }
const pods = (manifests: Manifest[]) => manifests.filter(({ kind }) => ['Deployment', 'Job', 'Pod'].includes(kind))

t.test('every service is deployed, with an image of its own, its port and the four probe paths', async (t) => {
  const deployments = byComponent(rendering('default'), 'Deployment')
  t.same(Object.keys(deployments).sort(), SERVICES)
  for (const [service, deployment] of Object.entries(deployments)) {
    const [container] = podOf(deployment)['containers']
    t.equal(container.image, `registry.example.com/baton/baton-${service}:0.1.0`)
    t.same(container.ports, [{ name: 'http', containerPort: await portOf(service), protocol: 'TCP' }])
    for (const [probe, path] of Object.entries(PROBES)) t.same(container[probe].httpGet, { path, port: 'http' }, `${service} ${probe}`)
  }
  const [monitor] = rendering('full').filter(({ kind }) => kind === 'ServiceMonitor')
  t.equal(monitor?.spec['endpoints'][0].path, '/metrics')
  const test = byComponent(rendering('default'), 'Pod')['test']
  const asked = podOf(test!)['containers'][0].command.filter((word: string) => word.startsWith('http://'))
  t.same(
    asked.sort(),
    await Promise.all(SERVICES.map(async (service) => `http://baton-${service}:${await portOf(service)}/health`)).then((urls) =>
      urls.sort(),
    ),
  )
})

t.test('every container is given settings that its service reads and accepts', async (t) => {
  for (const name of RENDERINGS) {
    for (const manifest of pods(rendering(name)).filter(({ kind }) => kind !== 'Pod')) {
      const component = manifest.metadata.labels['app.kubernetes.io/component']!
      const service = manifest.kind === 'Job' ? 'migrate' : component
      t.same(await problemsOf(service, environmentOf(podOf(manifest))), [], `${name}: ${component}`)
    }
  }
})

t.test('replicas and limits are those that the services were measured in, and the heap leaves room', (t) => {
  for (const [service, { spec }] of Object.entries(byComponent(rendering('default'), 'Deployment'))) {
    const { resources, env } = spec['template'].spec.containers[0]
    const size = SIZES[service]!
    t.equal(spec['replicas'], size.replicas, `${service} replicas`)
    t.equal(Number(resources.limits.cpu), size.cpu, `${service} CPU`)
    t.equal(mibOf(resources.limits.memory), size.memoryMib, `${service} memory`)
    t.ok(mibOf(resources.requests.memory) <= size.memoryMib / 2, `${service} asks for half of it at most`)
    const heap = Number(/^--max-old-space-size=(\d+)$/.exec(env.find((entry: Spec) => entry['name'] === 'NODE_OPTIONS').value)?.[1])
    t.equal(heap, Math.floor(size.memoryMib * 0.7), `${service} heap`)
  }
  const decimal = environmentOf(podOf(byComponent(rendering('prometheus'), 'Deployment')['http-worker']!))
  t.equal(decimal['NODE_OPTIONS'], `--max-old-space-size=${Math.floor((768e6 * 0.7) / 2 ** 20)}`, 'from 768M')
  t.end()
})

t.test('pods are confined, and have the time to end', (t) => {
  for (const name of RENDERINGS) {
    for (const manifest of pods(rendering(name))) {
      const pod = podOf(manifest)
      const place = `${name}: ${manifest.kind} ${manifest.metadata.name}`
      t.match(pod['securityContext'], { runAsUser: 1001, runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } }, place)
      const confined = { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } }
      t.same(pod['containers'][0].securityContext, confined, place)
      t.equal(pod['automountServiceAccountToken'], false, place)
      t.equal(pod['enableServiceLinks'], false, `${place} is given no variables of other Services`)
      if (manifest.kind === 'Deployment') t.equal(pod['terminationGracePeriodSeconds'], 30, place)
    }
  }
  t.end()
})

t.test('secrets are files, and stand in Secrets alone', (t) => {
  const manifests = rendering('default')
  for (const manifest of manifests.filter(({ kind }) => kind !== 'Secret')) {
    const text = JSON.stringify(manifest)
    for (const secret of ['postgres://', 'redis://', 'only-for-rendering', '0'.repeat(64)])
      t.notOk(text.includes(secret), `${manifest.kind} ${manifest.metadata.name}`)
  }
  for (const deployment of Object.values(byComponent(rendering('full'), 'Deployment'))) {
    const env = environmentOf(podOf(deployment))
    const files = podOf(deployment)['volumes'].find((volume: Spec) => volume['name'] === 'secrets').projected.sources
    const mounted = files.flatMap(({ secret }: Spec) => secret.items.map((item: Spec) => item['path']))
    for (const name of SECRETS) {
      t.notOk(name in env, `${deployment.metadata.name} has no ${name} in the open`)
      t.equal(
        env[`${name}_FILE`],
        mounted.includes(name) ? `/etc/baton/secrets/${name}` : undefined,
        `${deployment.metadata.name} ${name}_FILE`,
      )
    }
  }
  t.end()
})

t.test('what selects pods selects those of one service', (t) => {
  for (const name of RENDERINGS) {
    const manifests = rendering(name)
    const deployments = Object.values(byComponent(manifests, 'Deployment'))
    const matched = (labels: Record<string, string>) =>
      deployments.filter(({ spec }) => Object.entries(labels).every(([key, value]) => spec['template'].metadata.labels[key] === value))
    for (const { kind, metadata, spec } of manifests) {
      const selector = {
        Service: spec?.['selector'],
        PodDisruptionBudget: spec?.['selector']?.matchLabels,
        NetworkPolicy: spec?.['podSelector']?.matchLabels,
      }[kind]
      if (selector)
        t.same(
          matched(selector).map((found) => found.metadata.name),
          [metadata.name],
          `${name}: ${kind}`,
        )
      const scaled = spec?.['scaleTargetRef']?.name
      if (!scaled) continue
      t.equal(scaled, metadata.name, `${name}: ${kind}`)
      t.notOk('replicas' in deployments.find((found) => found.metadata.name === scaled)!.spec, `nobody else sets the replicas of ${scaled}`)
    }
  }
  t.end()
})

t.test('the job that migrates runs a program that is there, before the pods change', (t) => {
  const { migrate, contract } = byComponent(rendering('full'), 'Job')
  t.ok(existsSync(join(ROOT, 'services/orchestrator/src/migrate.ts')), 'bundled as app/migrate.js')
  t.match(podOf(migrate!)['containers'][0], {
    command: ['node', '/srv/app/migrate.js'],
    args: ['--expand'],
    image: /\/baton-orchestrator:/,
  })
  t.equal(migrate!.metadata.annotations?.['helm.sh/hook'], 'pre-install,pre-upgrade')
  t.equal(contract!.metadata.annotations?.['helm.sh/hook'], 'post-upgrade')
  t.notOk('args' in podOf(contract!)['containers'][0])
  t.equal(environmentOf(podOf(byComponent(rendering('full'), 'Deployment')['orchestrator']!))['BATON_MIGRATE_AT_START'], 'false')
  t.notOk(
    'BATON_MIGRATE_AT_START' in environmentOf(podOf(byComponent(rendering('prometheus'), 'Deployment')['orchestrator']!)),
    'no job, so it migrates',
  )
  t.same(byComponent(rendering('default'), 'Job')['contract'], undefined, 'only when asked for')
  t.end()
})

t.test('the API and the live events come in by Ingresses of their own', (t) => {
  const ingresses = rendering('full').filter(({ kind }) => kind === 'Ingress')
  const routes = ingresses.flatMap(({ spec }) =>
    spec['rules'][0].http.paths.map((path: Spec) => [path['path'], path['backend'].service.name]),
  )
  t.same(Object.fromEntries(routes), {
    '/api': 'baton-orchestrator',
    '/hooks': 'baton-orchestrator',
    '/callbacks': 'baton-orchestrator',
    '/docs': 'baton-orchestrator',
    '/openapi.json': 'baton-orchestrator',
    '/ws': 'baton-fanout',
    '/sse': 'baton-fanout',
  })
  const live = ingresses.find(({ metadata }) => metadata.name.endsWith('-live'))!
  t.match(live.metadata.annotations, {
    'nginx.ingress.kubernetes.io/proxy-read-timeout': '3600',
    'nginx.ingress.kubernetes.io/proxy-buffering': 'off',
  })
  for (const { spec } of ingresses) t.same(spec['tls'], [{ hosts: ['baton.example.com'], secretName: 'baton-tls' }])
  t.end()
})

t.test('only what calls out may leave, and not into private networks', (t) => {
  for (const [service, { spec }] of Object.entries(byComponent(rendering('full'), 'NetworkPolicy'))) {
    t.same(spec['policyTypes'], ['Ingress', 'Egress'])
    const blocks = spec['egress'].flatMap((rule: Spec) => rule['to'] ?? []).flatMap((peer: Spec) => peer['ipBlock'] ?? [])
    const outside = blocks.find((block: Spec) => block['cidr'] === '0.0.0.0/0')
    t.equal(outside !== undefined, ['http-worker', 'hitl-worker', 'agent-runner'].includes(service), service)
    if (outside) t.match(outside.except, ['10.0.0.0/8'], service)
    t.equal(
      blocks.some((block: Spec) => block['cidr'] === '10.20.0.0/16'),
      ['http-worker', 'hitl-worker'].includes(service),
      `${service}: httpAllow`,
    )
    const open = spec['ingress'].filter((rule: Spec) => rule['from'] === undefined)
    t.same(open, [], `${service}: nobody but those named comes in`)
  }
  t.end()
})

t.test('KEDA looks at the keys that the queues really have', async (t) => {
  const { keys, PARTITION_COUNT } = (await load('packages/contracts/src/index.ts')) as {
    keys: { calls(lane: number): string }
    PARTITION_COUNT: number
  }
  const scaled = byComponent(rendering('full'), 'ScaledObject')
  const streams = scaled['http-worker']!.spec['triggers'].map((trigger: Spec) => trigger['metadata'].stream)
  t.same(
    streams,
    Array.from({ length: PARTITION_COUNT }, (_, lane) => keys.calls(lane)),
  )
  const { advanced, triggers } = scaled['http-worker']!.spec
  t.equal(advanced.scalingModifiers.formula, triggers.map((trigger: Spec) => trigger['name']).join(' + '))

  const { agentTurns, createProducer, connectRedis } = (await load('packages/runtime/src/index.ts')) as Runtime
  const { url } = await testRedis(t)
  const producer = createProducer(agentTurns, url)
  t.teardown(() => producer.close())
  const redis = connectRedis(url, { name: 'test' })
  t.teardown(() => redis.disconnect())
  await producer.add(TURN)
  const [waiting] = scaled['agent-runner']!.spec['triggers'].map((trigger: Spec) => trigger['metadata'].listName)
  t.equal(await redis.llen(waiting), 1, `${waiting} has the turn that waits`)
})

t.test('the queries of KEDA name metrics that there are', (t) => {
  const values = parse(read('deploy/helm/baton/values.yaml')) as Spec
  for (const [service, { query }] of Object.entries(values['keda'].services as Record<string, Spec>)) {
    const names = [...String(query).matchAll(/\bbaton_\w+/g)].map(([name]) => name)
    t.ok(names.length > 0, service)
    for (const name of names) t.match(read('docs/metrics.md'), `\`${name}\``, `${service}: ${name}`)
  }
  t.end()
})
