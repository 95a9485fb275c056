/** Schedules while orchestrators come and go: each slot once, and what was missed as its schedule wants it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { createClient, type Run } from '@baton/client'
import { findFreePort, type Teardown, testDatabase, testRedis, until } from '@baton/testing'
import { test } from 'tap'
import { tell } from './scene.ts'
import { ROOT, readyAt } from './stack.ts'

const EVERY_MS = 2_000
const WATCHED_MS = 60_000
/** More than five slots. */
const DOWN_MS = 11_000
const POLICIES = ['skip', 'last', 'all'] as const

interface Program {
  url: string
  ready(): Promise<void>
  kill(): Promise<void>
}

/** Starts programs on one database and one Redis; nobody starts them again. */
async function openGround(t: Teardown) {
  const [database, redis] = await Promise.all([testDatabase(t), testRedis(t)])
  const adminKey = randomBytes(16).toString('hex')
  const env = {
    ...process.env,
    DATABASE_URL: database.url,
    REDIS_URL: redis.url,
    HOST: '127.0.0.1',
    LOG_LEVEL: 'error',
    BATON_ADMIN_KEY: adminKey,
    BATON_MASTER_KEY: randomBytes(32).toString('hex'),
  }
  async function start(service: 'orchestrator' | 'workflow-runner'): Promise<Program> {
    const port = await findFreePort()
    const main = join(ROOT, 'services', service, 'src/main.ts')
    const child = spawn(process.execPath, ['--conditions=@baton/source', '--no-warnings', main], {
      env: { ...env, PORT: String(port) },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    t.teardown(() => kill(child))
    const url = `http://127.0.0.1:${port}`
    return { url, ready: () => readyAt(service, url), kill: () => kill(child) }
  }
  return { sql: database.sql, adminKey, start }
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

type Client = ReturnType<typeof createClient>

/** Runs of a schedule, by slot. */
async function runsOf(client: Client, name: string): Promise<{ slot: number; run: Run }[]> {
  const runs: { slot: number; run: Run }[] = []
  for await (const run of client.runs.list({ label: `baton.schedule:${name}` })) {
    runs.push({ slot: Date.parse(run.labels['baton.slot']!), run })
  }
  return runs.sort((a, b) => a.slot - b.slot)
}

async function putSchedule({ url }: Program, adminKey: string, name: string, catchUp: string): Promise<void> {
  const response = await fetch(`${url}/api/v1/schedules/${name}`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ cron: '*/2 * * * * *', workflow: 'tick', catchUp, input: { slot: '${{ schedule.slot }}' } }),
  })
  if (!response.ok) throw new Error(await response.text())
}

/** Slots from the first to the last, two seconds apart. */
function between(first: number, last: number): number[] {
  return Array.from({ length: Math.round((last - first) / EVERY_MS) + 1 }, (_, n) => first + n * EVERY_MS)
}

const slotsOf = (runs: { slot: number }[]) => runs.map(({ slot }) => slot)
const passed = (ms: number) => {
  const from = Date.now()
  return until(() => Date.now() - from >= ms, { timeoutMs: ms + 5_000 })
}

test('a schedule of each two seconds, two orchestrators and two runners: each slot starts one run, for a minute', {
  timeout: 150_000,
}, async (t) => {
  const ground = await openGround(t)
  const orchestrators = await Promise.all([ground.start('orchestrator'), ground.start('orchestrator')])
  const runners = await Promise.all([ground.start('workflow-runner'), ground.start('workflow-runner')])
  await Promise.all([...orchestrators, ...runners].map((program) => program.ready()))
  const client = createClient({ url: orchestrators[0]!.url, key: ground.adminKey })
  await client.workflows.put('tick', { name: 'tick', steps: { at: { set: { slot: '${{ input.slot }}' } } } } as never)
  await putSchedule(orchestrators[1]!, ground.adminKey, 'tick', 'skip')
  await passed(WATCHED_MS)
  await until(async () => (await client.runs.count({ status: ['queued', 'running', 'waiting'] })) === 0)
  const runs = await runsOf(client, 'tick')
  const slots = slotsOf(runs)
  t.ok(slots.length >= WATCHED_MS / EVERY_MS - 1, `${slots.length} runs`)
  t.same(slots, between(slots[0]!, slots.at(-1)!), 'no slot is missing, and none is there twice')
  const lateMs = runs.map(({ slot, run }) => Date.parse(run.createdAt) - slot).sort((a, b) => a - b)
  t.ok(lateMs[0]! >= 0, 'none came too early')
  t.ok(runs.every(({ slot, run }) => run.status === 'succeeded' && (run.input as { slot: string }).slot === new Date(slot).toISOString()))
  tell(`schedules: ${slots.length} slots, ${lateMs[lateMs.length >> 1]} ms late in the middle, ${lateMs.at(-1)} ms at most`)
})

test('orchestrators that are killed over five slots: the missed ones follow the policy of their schedule', {
  timeout: 150_000,
}, async (t) => {
  const ground = await openGround(t)
  const before = await Promise.all([ground.start('orchestrator'), ground.start('orchestrator')])
  await Promise.all(before.map((program) => program.ready()))
  const first = createClient({ url: before[0]!.url, key: ground.adminKey })
  await first.workflows.put('tick', { name: 'tick', steps: { at: { set: { slot: '${{ input.slot }}' } } } } as never)
  for (const policy of POLICIES) await putSchedule(before[0]!, ground.adminKey, policy, policy)
  const have = async (client: Client, count: number) => {
    for (const policy of POLICIES) if ((await runsOf(client, policy)).length < count) return false
    return true
  }
  await until(() => have(first, 3), { timeoutMs: 30_000 })
  await Promise.all(before.map((program) => program.kill()))
  const [{ now: killedAt }] = await ground.sql<[{ now: number }]>`select clock_timestamp() as now`
  await passed(DOWN_MS)
  const [{ now: startedAt }] = await ground.sql<[{ now: number }]>`select clock_timestamp() as now`
  // One first: what it finds is missed by its own beginning alone.
  const after = await ground.start('orchestrator')
  await after.ready()
  const client = createClient({ url: after.url, key: ground.adminKey })
  const caughtUp = async () => {
    const last = await Promise.all(POLICIES.map(async (policy) => slotsOf(await runsOf(client, policy)).at(-1)!))
    return Math.min(...last) > startedAt + 2 * EVERY_MS
  }
  await until(caughtUp, { timeoutMs: 40_000, what: 'slots after the outage' })

  const [skip, last, all] = await Promise.all(POLICIES.map(async (policy) => slotsOf(await runsOf(client, policy))))
  const duringOutage = (slot: number) => slot > killedAt && slot < startedAt
  t.ok(between(all![0]!, all!.at(-1)!).filter(duringOutage).length >= 5, 'five slots were missed')
  t.same(all, between(all![0]!, all!.at(-1)!), 'all: none is missing, none is there twice')
  t.same(skip!.filter(duringOutage), [], 'skip: none of the missed')
  const resumedAt = skip!.find((slot) => slot > killedAt)!
  const fromLast = last!.filter((slot) => slot > killedAt)
  t.equal(fromLast[0], resumedAt - EVERY_MS, 'last: the newest of the missed')
  t.same(fromLast, between(fromLast[0]!, fromLast.at(-1)!), 'and then every slot')
  t.same(
    skip!.filter((slot) => slot > killedAt),
    between(resumedAt, skip!.at(-1)!),
    'skip: then every slot',
  )
  tell(`schedules: ${all!.filter(duringOutage).length} slots missed; made up for: skip 0, last 1, all ${all!.filter(duringOutage).length}`)
})
