/** What the workflow of GitHub Actions and the guides of docs/deploy name is there. */
import { existsSync, globSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import type { Spec } from './deploy-manifests.ts'
import { portOf, ROOT, read, SERVICES, settingNames } from './deploy-settings.ts'

const CI = '.github/workflows/ci.yaml'
const workflow = parse(read(CI)) as Spec
const jobs = Object.entries(workflow['jobs'] as Record<string, Spec>)
const steps = jobs.flatMap(([job, { steps }]) => (steps as Spec[]).map((step) => ({ job, step })))
const TARGETS = new Set([...read('Makefile').matchAll(/^([a-z][a-z-]*):/gm)].map(([, target]) => target!))
const GUIDES = globSync('docs/deploy/*.md', { cwd: ROOT }).sort()

t.test('CI calls what the Makefile has, and every check that a contributor runs', (t) => {
  const called = steps.flatMap(({ step }) => [...String(step['run'] ?? '').matchAll(/\bmake ([a-z][a-z-]*)/g)].map(([, target]) => target!))
  for (const target of called) t.ok(TARGETS.has(target), `make ${target}`)
  for (const target of ['check', 'test', 'up', 'demo', 'health', 'down']) t.ok(called.includes(target), `${target} is called`)
  t.end()
})

t.test('CI builds, scans and pushes an image of every service', (t) => {
  for (const job of ['images', 'push']) {
    const { strategy, steps } = workflow['jobs'][job] as Spec
    t.same(strategy.matrix.service.toSorted(), SERVICES, job)
    const build = steps.find((step: Spec) => step['uses']?.startsWith('docker/build-push-action'))
    t.ok(existsSync(join(ROOT, build.with.file)), build.with.file)
    t.match(read(build.with.file), /^ARG SERVICE$/m)
  }
  const push = workflow['jobs'].push as Spec
  t.match(push['steps'].at(-1).with, { push: true, sbom: true, provenance: 'mode=max', platforms: 'linux/amd64,linux/arm64' })
  t.equal(push['if'], "startsWith(github.ref, 'refs/tags/v')")
  t.same(
    push['needs'].toSorted(),
    jobs
      .map(([job]) => job)
      .filter((job) => job !== 'push')
      .sort(),
    'nothing is pushed before all is green',
  )
  t.end()
})

t.test('CI may write nothing but images, every action has a version, every job an end', (t) => {
  t.same(workflow['permissions'], { contents: 'read' })
  for (const [name, job] of jobs) {
    t.ok(job['timeout-minutes'] > 0, `${name} ends`)
    t.same(job['permissions'] ?? {}, name === 'push' ? { contents: 'read', packages: 'write' } : {}, name)
  }
  for (const { job, step } of steps) {
    if (step['uses']) t.match(step['uses'], /^[\w-]+\/[\w-]+@(v\d+|[0-9a-f]{40})$/, job)
    // a title of a pull request that stands in a script is run as one
    t.notMatch(String(step['run'] ?? ''), /\$\{\{\s*github\.(event|head_ref)/, job)
  }
  t.end()
})

t.test('every file that CI or a guide names is in the repository', (t) => {
  t.same(
    GUIDES,
    ['ecs', 'kubernetes', 'postgres', 'single-vm', 'swarm'].map((name) => `docs/deploy/${name}.md`),
  )
  for (const page of [...GUIDES, CI, 'deploy/helm/baton/README.md']) {
    const named = [...read(page).matchAll(/\b(?:deploy|compose|docs|examples)\/[\w@./-]*[\w-]/g)].map(([path]) => path)
    for (const path of new Set(named)) t.ok(existsSync(join(ROOT, path)), `${page}: ${path}`)
    const links = [...read(page).matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)].map(([, link]) => link!)
    for (const link of new Set(links)) t.ok(existsSync(join(ROOT, dirname(page), link)), `${page}: ${link}`)
  }
  t.end()
})

/** Variables that guides and their files use, and which are no settings of a service. */
const NOT_OURS =
  /^(BATON_(REGISTRY|VERSION|HOST|SERVICE|URL|KEY|PORT_\w+)|(API|LIVE)_TARGETS|(POSTGRES|REDIS)_(IMAGE|PASSWORD)|[A-Z_]+_REPLICAS|REDISCLI_AUTH|AWS_\w+|NODE_OPTIONS|NODE_EXTRA_CA_CERTS)$/

t.test('every setting that a guide names is one that some service reads', async (t) => {
  const known = new Set((await Promise.all(SERVICES.map(settingNames))).flat())
  for (const page of GUIDES) {
    const named = [...read(page).matchAll(/\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b/g)].map(([name]) => name.replace(/_FILE$/, ''))
    for (const name of new Set(named)) t.ok(known.has(name) || known.has(`${name}_FILE`) || NOT_OURS.test(name), `${page}: ${name}`)
  }
})

t.test('every port of 127.0.0.1 that a guide or proxy names is that of a service', async (t) => {
  const ports = new Set(await Promise.all(SERVICES.map(portOf)))
  for (const page of [...GUIDES, 'deploy/vm/nginx.conf']) {
    const named = [...read(page).matchAll(/(?:127\.0\.0\.1|localhost):(\d{4})\b/g)].map(([, port]) => Number(port))
    for (const port of new Set(named)) t.ok(ports.has(port) || [5432, 6379].includes(port), `${page}: ${port}`)
  }
})
