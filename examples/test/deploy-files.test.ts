/** Files for Swarm, ECS and a single machine: they can be read, and say of the services what the services are. */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import type { Spec } from './deploy-manifests.ts'
import { portOf, problemsOf, ROOT, read, SECRETS, SERVICES, SIZES } from './deploy-settings.ts'

const HEAP = /^--max-old-space-size=(\d+)$/
const heapOf = (options: string | undefined) => Number(HEAP.exec(options ?? '')?.[1])

/** `${NAME:-default}` as its default, `${NAME…}` as an example of NAME. */
function fill(text: string): string {
  const examples: Record<string, string> = {
    BATON_REGISTRY: 'registry.example.com/baton',
    BATON_VERSION: '1.2.3',
    BATON_HOST: 'baton.example.com',
  }
  return text.replace(
    /\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}/g,
    (_, name: string, byDefault?: string) => byDefault ?? examples[name] ?? 'example',
  )
}

/** What each file lets a service have: the same questions for every platform. */
async function checkContainer(t: Test, service: string, image: string, env: Record<string, string>): Promise<void> {
  const program = service === 'migrate' ? 'orchestrator' : service
  t.equal(image, `registry.example.com/baton/baton-${program}:1.2.3`, `${service}: its image`)
  t.same(await problemsOf(service, env), [], `${service}: its settings`)
  if (service !== 'migrate') t.equal(Number(env['PORT']), await portOf(service), `${service}: its port`)
}

t.test('Swarm: every service, its settings, limits and confinement', async (t) => {
  const stack = parse(fill(read('deploy/swarm/stack.yaml').replaceAll('$$', '')), { merge: true }) as Spec
  const ours = Object.entries(stack['services'] as Record<string, Spec>).filter(([name]) => !['postgres', 'redis'].includes(name))
  t.same(ours.map(([name]) => name).sort(), [...SERVICES, 'migrate'].sort())
  for (const [name, service] of ours) {
    const env = Object.fromEntries(Object.entries(service['environment']).map(([setting, value]) => [setting, String(value ?? '')]))
    await checkContainer(t, name, service['image'], env)
    t.match(service, { user: '1001:1001', read_only: true, init: true, cap_drop: ['ALL'], stop_grace_period: '30s' }, name)
    const { resources, replicas } = service['deploy']
    const size = SIZES[name]
    const used = Object.values(service['environment'] as Record<string, string>).flatMap(
      (value) => /^\/run\/secrets\/(.+)$/.exec(String(value))?.[1] ?? [],
    )
    t.same(service['secrets'].toSorted(), used.toSorted(), `${name}: the secrets that it reads, and no more`)
    for (const secret of service['secrets']) t.same(stack['secrets'][secret], { external: true }, secret)
    if (!size) continue
    t.same(
      [Number(replicas), Number(resources.limits.cpus), resources.limits.memory],
      [size.replicas, size.cpu, `${size.memoryMib}M`],
      name,
    )
    t.equal(heapOf(env['NODE_OPTIONS']), Math.floor(size.memoryMib * 0.7), `${name}: heap`)
  }
  t.match(stack['services'].migrate, { command: ['node', '/srv/app/migrate.js', '--expand'], deploy: { mode: 'replicated-job' } })
  for (const name of ['postgres', 'redis']) {
    t.same(stack['services'][name].networks, ['data'], `${name} is inside`)
    t.equal(stack['services'][name].ports, undefined, `${name} publishes nothing`)
  }
  t.equal(stack['networks'].data.internal, true)
})

const docker = spawnSync('docker', ['stack', 'config', '--help'])
t.test('Swarm: docker reads the stack', { skip: docker.status === 0 ? false : 'there is no docker with the command stack config' }, (t) => {
  const env = { ...process.env, BATON_REGISTRY: 'registry.example.com/baton', BATON_VERSION: '1.2.3' }
  const config = spawnSync('docker', ['stack', 'config', '--compose-file', join(ROOT, 'deploy/swarm/stack.yaml')], {
    env,
    encoding: 'utf8',
  })
  t.equal(config.status, 0, config.stderr)
  t.same(Object.keys(parse(config.stdout).services).sort(), [...SERVICES, 'migrate', 'postgres', 'redis'].sort())
  t.end()
})

/** CPU units of Fargate and the MiB that go with them. */
const FARGATE: Record<string, number[]> = {
  256: [512, 1024, 2048],
  512: [1024, 2048, 3072, 4096],
  1024: [2048, 3072, 4096, 5120, 6144, 7168, 8192],
}

t.test('ECS: every service has a task definition that Fargate takes', async (t) => {
  const files = globSync('*.json', { cwd: join(ROOT, 'deploy/ecs') }).map((file) => basename(file, '.json'))
  t.same(files.sort(), [...SERVICES, 'migrate'].sort())
  for (const name of files) {
    const task = JSON.parse(fill(read(`deploy/ecs/${name}.json`))) as Spec
    const [container] = task['containerDefinitions']
    const plain = container.environment.map((entry: Spec) => [entry['name'], entry['value']])
    const secrets = container.secrets.map((entry: Spec) => entry['name'])
    t.same(
      plain.filter(([setting]: [string]) => SECRETS.includes(setting)),
      [],
      `${name} has no secret in the open`,
    )
    await checkContainer(t, name, container.image, {
      ...Object.fromEntries(plain),
      ...Object.fromEntries(secrets.map((secret: string) => [`${secret}_FILE`, 'x'])),
    })
    t.match(task, { family: `baton-${name}`, networkMode: 'awsvpc', requiresCompatibilities: ['FARGATE'] })
    t.ok(FARGATE[task['cpu']]?.includes(Number(task['memory'])), `${name}: ${task['cpu']} units with ${task['memory']} MiB`)
    t.match(container, {
      user: '1001:1001',
      readonlyRootFilesystem: true,
      linuxParameters: { initProcessEnabled: true, capabilities: { drop: ['ALL'] } },
    })
    if (name === 'migrate') t.same(container.command, ['node', '/srv/app/migrate.js', '--expand'])
    else {
      t.equal(heapOf(Object.fromEntries(plain).NODE_OPTIONS), Math.floor(Number(task['memory']) * 0.7), `${name}: heap`)
      t.same(container.portMappings, [{ name: 'http', containerPort: await portOf(name), protocol: 'tcp' }])
      t.equal(container.stopTimeout, 30)
      t.same(container.healthCheck.command, ['CMD', 'node', '/srv/healthcheck.mjs'])
    }
  }
  t.match(read('compose/Dockerfile'), /\/srv\/healthcheck\.mjs/, 'what the health check runs is in the images')
})

/** Sections, keys and values of unit files, one after the other as systemd reads a unit and its drop-ins. */
function readUnits(paths: string[]): Map<string, string[]> {
  const settings = new Map<string, string[]>()
  let section = ''
  for (const line of paths.flatMap((path) => read(path).split('\n'))) {
    if (line === '' || line.startsWith('#')) continue
    section = /^\[(\w+)\]$/.exec(line)?.[1] ?? section
    const [, key, value] = /^(\w+)=(.*)$/.exec(line) ?? []
    if (key === undefined && !line.startsWith('[')) throw new Error(`${paths}: ${line}`)
    if (key !== undefined) settings.set(`${section}.${key}`, [...(settings.get(`${section}.${key}`) ?? []), value!])
  }
  return settings
}

const environmentOf = (unit: Map<string, string[]>) =>
  Object.fromEntries(
    unit.get('Service.Environment')!.flatMap((line) => line.split(' ').map((pair) => pair.split(/=(.*)/s).slice(0, 2))),
  ) as Record<string, string>

const DROP_INS = globSync('baton@*.service.d', { cwd: join(ROOT, 'deploy/vm') }).sort()

t.test('single machine: each unit gives its service what it reads, as credentials that it may read', async (t) => {
  const names = DROP_INS.map((folder) => /^baton@(.+)\.service\.d$/.exec(folder)![1]!)
  const wanted = readUnits(['deploy/vm/baton.service'])
    .get('Unit.Wants')!
    .flatMap((line) => line.split(' '))
  t.same(wanted.filter((unit) => unit.startsWith('baton@')).sort(), names.map((name) => `baton@${name}.service`).sort())
  const ports = new Set<string>()
  const counts: Record<string, number> = {}
  for (const name of names) {
    const unit = readUnits(['deploy/vm/baton@.service', `deploy/vm/baton@${name}.service.d/service.conf`])
    const { BATON_SERVICE: service = '', ...env } = environmentOf(unit)
    t.same(await problemsOf(service, env), [], name)
    counts[service] = (counts[service] ?? 0) + 1
    ports.add(env['PORT']!)
    if (name === service) t.equal(Number(env['PORT']), await portOf(service), `${name}: its port`)
    const credentials = unit.get('Service.LoadCredential')!.map((line) => line.split(':')[0]!)
    const files = Object.entries(env).flatMap(([setting, file]) => (setting.endsWith('_FILE') ? [[setting, file]] : []))
    t.same(files.sort(), credentials.map((secret) => [`${secret}_FILE`, `%d/${secret}`]).sort(), `${name}: credentials`)
    const size = SIZES[service]!
    t.same(unit.get('Service.CPUQuota'), [`${size.cpu * 100}%`], name)
    t.same(unit.get('Service.MemoryMax'), [size.memoryMib < 1024 ? `${size.memoryMib}M` : `${size.memoryMib / 1024}G`], name)
    t.equal(heapOf(env['NODE_OPTIONS']), Math.floor(size.memoryMib * 0.7), `${name}: heap`)
  }
  t.equal(ports.size, names.length, 'a port each')
  t.same(counts, Object.fromEntries(SERVICES.map((service) => [service, SIZES[service]!.replicas])))
  const migrate = readUnits(['deploy/vm/baton.service'])
  t.same(await problemsOf('migrate', environmentOf(migrate)), [])
  for (const unit of [migrate, readUnits(['deploy/vm/baton-backup.service'])]) {
    const given = environmentOf(unit)
    for (const name of ['DATABASE_URL', 'DATABASE_DIRECT_URL']) {
      t.equal(given[`${name}_FILE`], `%d/${name}`, 'migrations and dumps go past a pooler')
      t.ok(unit.get('Service.LoadCredential')!.includes(`${name}:/etc/baton/secrets/${name}`))
    }
    t.match(unit.get('Service.EnvironmentFile'), ['-/etc/baton/baton.env'], 'which says whether there is a pooler')
  }
})

const systemd = spawnSync('systemd-analyze', ['--version'])
t.test('single machine: systemd reads the units', { skip: systemd.status === 0 ? false : 'there is no systemd-analyze' }, (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'baton-units-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  cpSync(join(ROOT, 'deploy/vm'), folder, { recursive: true })
  // programs have to be there to be found good
  for (const unit of globSync('*.service', { cwd: folder })) {
    const path = join(folder, unit)
    writeFileSync(path, readFileSync(path, 'utf8').replace(/^ExecStart=\S+/gm, `ExecStart=${process.execPath}`))
  }
  const units = ['baton.service', 'baton-backup.service', 'baton-backup.timer', ...DROP_INS.map((name) => name.replace(/\.d$/, ''))]
  const { status, stderr, stdout } = spawnSync('systemd-analyze', ['verify', '--man=no', ...units.map((unit) => join(folder, unit))], {
    encoding: 'utf8',
  })
  const about = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('baton'))
  t.same(about, [])
  t.equal(status, 0)
  t.end()
})

const nginx = spawnSync('nginx', ['-v'])
t.test('single machine: nginx reads its configuration', { skip: nginx.status === 0 ? false : 'there is no nginx on PATH' }, (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'baton-nginx-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const certificate = [
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-subj',
    '/CN=baton.example.com',
    '-keyout',
    'key.pem',
    '-out',
    'cert.pem',
  ]
  execFileSync('openssl', certificate, { cwd: folder, stdio: 'ignore' })
  const ownFolders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((part) => `${part}_temp_path ${part};`).join('')
  const site = read('deploy/vm/nginx.conf')
    .replace(/\S+fullchain\.pem/, join(folder, 'cert.pem'))
    .replace(/\S+privkey\.pem/, join(folder, 'key.pem'))
  writeFileSync(
    join(folder, 'nginx.conf'),
    `pid ${folder}/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n${ownFolders}\n${site}\n}\n`,
  )
  const { status, stderr } = spawnSync('nginx', ['-t', '-p', folder, '-c', join(folder, 'nginx.conf')], { encoding: 'utf8' })
  t.equal(status, 0, stderr)
  t.end()
})

t.test('single machine: the installer puts a release beside the last one and never replaces a secret', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'baton-install-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const [checkout, dest] = [join(folder, 'checkout'), join(folder, 'dest')]
  cpSync(join(ROOT, 'deploy/vm'), join(checkout, 'deploy/vm'), { recursive: true })
  cpSync(join(ROOT, 'docs/deploy'), join(checkout, 'docs/deploy'), { recursive: true })
  mkdirSync(join(checkout, 'node_modules/.bin'), { recursive: true })
  symlinkSync(process.execPath, join(checkout, 'node_modules/.bin/node'))
  const install = (version: string) => {
    const env = { ...process.env, DESTDIR: dest, BATON_VERSION: version }
    return spawnSync('sh', [join(checkout, 'deploy/vm/install.sh')], { env, encoding: 'utf8' })
  }
  t.match(install('1'), { status: 1, stderr: /is not built/ })
  for (const service of SERVICES) {
    mkdirSync(join(checkout, 'services', service, 'dist/app'), { recursive: true })
    writeFileSync(join(checkout, 'services', service, 'dist/app/main.js'), '')
  }
  t.match(install('1'), { status: 0 })
  const secret = (name: string) => readFileSync(join(dest, 'etc/baton/secrets', name), 'utf8')
  const before = [
    ...SECRETS.filter((name) => !['OPENAI_API_KEY', 'OTEL_EXPORTER_OTLP_HEADERS'].includes(name)),
    'POSTGRES_PASSWORD',
    'REDIS_PASSWORD',
  ].map((name) => [name, secret(name)])
  t.match(Object.fromEntries(before), { BATON_MASTER_KEY: /^[0-9a-f]{64}$/, BATON_ADMIN_KEY: /^[0-9a-f]{64}$/, AGENT_PROVIDERS: '{}' })
  t.equal(secret('DATABASE_URL'), `postgres://baton:${secret('POSTGRES_PASSWORD')}@127.0.0.1:5432/baton`)
  t.equal(statSync(join(dest, 'etc/baton/secrets/BATON_MASTER_KEY')).mode & 0o777, 0o600)
  t.equal(statSync(join(dest, 'etc/baton/secrets')).mode & 0o777, 0o700)
  for (const drop of DROP_INS) t.ok(existsSync(join(dest, 'etc/systemd/system', drop, 'service.conf')), drop)
  t.ok(existsSync(join(dest, 'opt/baton/current/orchestrator/app/main.js')))

  t.match(install('1'), { status: 1, stderr: /is there already/ })
  t.match(install('2'), { status: 0 })
  t.equal(readlinkSync(join(dest, 'opt/baton/current')), '2')
  t.ok(existsSync(join(dest, 'opt/baton/1/fanout/app/main.js')), 'the last one is still there')
  t.same(
    before.map(([name]) => [name, secret(name!)]),
    before,
  )
  t.end()
})
