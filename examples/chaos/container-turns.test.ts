/**
 * What an operator does to containers, under load and with people waiting: an upgrade in which old and new live together, a restart of
 * PostgreSQL, a Redis that loses its volume, and each container in turn killed, paused and cut from its networks.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { until } from '@baton/testing'
import { type Test, test } from 'tap'
import { CONTAINERS, cutContainer, killContainer, pauseContainer, removeRedis, startsOf } from './container-faults.ts'
import { type ContainerStack, startContainerStack } from './container-stack.ts'
import { whyNoContainers } from './docker.ts'
import { makeVoters } from './drive.ts'
import { NEXT_VERSION, writeNextVersion } from './next-version.ts'
import { openScene, type Scene, SEED, tell } from './scene.ts'
import { SERVICES } from './stack.ts'
import type { Family } from './workload.ts'

const LOAD: readonly Family[] = ['chain', 'fan', 'timed', 'asked', 'drafted']
const LOAD_REST_MS = 250
const DELAY_MS_MAX = 300
const ASKED = 5
const FAULTS = [killContainer, pauseContainer, cutContainer]
/** How many of them each container sees, by the seed; all of them unless CHAOS_TURNS says otherwise. */
const TURNS = Math.min(Number(process.env.CHAOS_TURNS || FAULTS.length), FAULTS.length)
/** Which containers have their turn, by name; all of them unless CHAOS_CONTAINERS says otherwise. */
const CHOSEN = process.env.CHAOS_CONTAINERS ? process.env.CHAOS_CONTAINERS.split(',') : [...CONTAINERS]
const WAIT_MS = 90_000
const END_MS = 120_000

const missing = whyNoContainers()
if (missing) tell(`chaos container turns: left out, since ${missing}`)

test(`an upgrade, and each container in turn taken away in ${TURNS} ways, seed ${SEED}: nothing is lost, doubled or late`, {
  timeout: 1_100_000,
  skip: missing,
}, async (t) => {
  let stack!: ContainerStack
  const startStack = async (t: Test, name: string) => {
    stack = await startContainerStack(t, name)
    return stack
  }
  const scene = await openScene(t, 'container-turns', { startStack })
  const asked = await scene.startMany('asked', ASKED)
  const waiting = () => scene.reach.client.runs.count({ workflow: 'asked', status: 'waiting' })
  await until(async () => (await waiting()) === ASKED, { timeoutMs: WAIT_MS, what: 'approvals to wait' })

  await t.test('a rolling upgrade, old and new together on the newer database: what waited for people goes on with them', async (t) => {
    await upgrade(t, scene, stack)
    t.ok((await waiting()) >= ASKED, 'nobody has decided')
    scene.people.startVoting(await makeVoters(scene.reach))
    for (const { id } of asked) t.equal((await scene.reach.client.runs.wait(id, { timeoutMs: WAIT_MS })).status, 'succeeded')
  })

  await t.test('PostgreSQL is restarted: the services stay up, and go on', async (t) => {
    const before = await startsOf(stack)
    await underLoad(scene, () => stack.postgres.restart('fast', 1_000))
    await oneMore(scene)
    t.strictSame(await startsOf(stack), before, 'no container was started again')
  })

  await t.test('Redis and its volume are removed: the services stay up, and go on', async (t) => {
    const before = await startsOf(stack)
    await underLoad(scene, () => removeRedis(stack))
    await oneMore(scene)
    t.strictSame(await startsOf(stack), before, 'no container was started again')
  })

  t.strictSame(
    CHOSEN.filter((name) => !(CONTAINERS as readonly string[]).includes(name)),
    [],
    'CHAOS_CONTAINERS names containers that there are',
  )
  for (const name of CONTAINERS.filter((name) => CHOSEN.includes(name))) {
    await t.test(`${name} is taken away`, async () => {
      for (const fault of chooseFaults(scene)) tell(`  ${await timed(() => underLoad(scene, () => fault(stack, name)))}`)
      tell(`  ${await timed(() => oneMore(scene))}`)
    })
  }
  await scene.finish(END_MS)
})

function chooseFaults({ random }: Scene) {
  const left = [...FAULTS]
  while (left.length > TURNS) left.splice(random.whole(0, left.length - 1), 1)
  return left
}

/** Starts runs all the while. */
async function underLoad<T>(scene: Scene, act: () => Promise<T>): Promise<T> {
  const starting: Promise<unknown>[] = []
  const stopping = new AbortController()
  const acted = act().finally(() => stopping.abort())
  while (!stopping.signal.aborted) {
    starting.push(scene.start(scene.random.pick(LOAD), DELAY_MS_MAX))
    await pause(LOAD_REST_MS)
  }
  await Promise.all(starting)
  return acted
}

/** The stack does new work. */
async function oneMore(scene: Scene): Promise<string> {
  for (const family of ['chain', 'drafted'] as const) {
    const { id } = await scene.start(family, 0)
    await scene.reach.client.runs.wait(id, { timeoutMs: WAIT_MS })
  }
  return 'and then a run of each kind went through'
}

async function timed(act: () => Promise<string>): Promise<string> {
  const from = performance.now()
  return `${await act()}, in ${Math.round(performance.now() - from)} ms`
}

/** As packages/store/README.md has it: expand the database, then roll the services, one container after the other. */
async function upgrade(t: Test, scene: Scene, stack: ContainerStack): Promise<void> {
  const checkout = mkdtempSync(join(tmpdir(), 'baton-next-'))
  t.teardown(() => rmSync(checkout, { recursive: true, force: true }))
  const migration = writeNextVersion(checkout)
  const compose = await stack.buildNext(checkout)
  const from = performance.now()
  await underLoad(scene, async () => {
    const said = await compose('run', '--rm', '--no-deps', '--no-TTY', 'migrate', 'node', '/srv/app/migrate.js', '--expand')
    t.match(said, migration, 'the database has what only the next version knows')
    for (const number of [1, 2]) {
      for (const service of SERVICES) {
        const replica = stack.of(service)[number - 1]!
        const { code } = await replica.replace()
        t.equal(code, 0, `${replica.name} of the former version ended in order`)
        await replica.ready()
      }
      if (number === 2) continue
      t.strictSame((await versions(stack)).filter((version) => version === NEXT_VERSION).length, SERVICES.length, 'half of all are new')
      await stack.of('workflow-runner')[1]!.end('SIGKILL') // a former one starts on the newer database too
      await stack.allReady()
    }
  })
  t.strictSame([...new Set(await versions(stack))], [NEXT_VERSION], 'all are new')
  tell(`  upgraded in ${Math.round(performance.now() - from)} ms`)
}

async function versions({ replicas }: ContainerStack): Promise<string[]> {
  return Promise.all(replicas.map(async ({ url }) => ((await (await fetch(`${url}/health`)).json()) as { version: string }).version))
}
