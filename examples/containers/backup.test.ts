/**
 * A backup of the stack in containers, all of its volumes destroyed, and the backup put into a new stack. It destroys what the stack of this
 * checkout holds, so it is asked for by BATON_CONTAINERS=disposable.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BatonClient, type CloudEvent, createClient } from '@baton/client'
import { until } from '@baton/testing'
import t from 'tap'
import { stackSettings } from '../src/settings.ts'

const ROOT = join(import.meta.dirname, '../..')
const ENDED = 5
const WAITING = 10
const WAIT_MS = 60_000
const skip =
  process.env['BATON_CONTAINERS'] === 'disposable'
    ? false
    : 'no stack in containers that may be destroyed: BATON_MODE=docker make up, then BATON_CONTAINERS=disposable'

/** What the tests lend their files is not what the stack runs on. */
const { DATABASE_URL: _database, REDIS_URL: _redis, ...around } = process.env
const env = { ...around, BATON_MODE: 'docker', CONFIRM: 'yes' }

function run(command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: ROOT, env, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}: ${stdout}${stderr}`)
  return stdout
}
const make = (...args: string[]) => run('make', '--no-print-directory', ...args)

const QUICK = { steps: [{ id: 'one', set: { n: 1 } }] }
const ASKS = {
  steps: [
    { id: 'before', set: { secret: '${{ input.n }}' } },
    { id: 'ask', approval: { title: 'Go on?', assignees: ['role:operator'] } },
    { id: 'rest', wait: { for: '100ms' } },
  ],
  output: { n: '${{ steps.before.output.secret }}', by: '${{ steps.ask.output.decision }}' },
}

async function readAll<T>(pages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const one of pages) all.push(one)
  return all
}

async function eventsOf(client: BatonClient, ids: readonly string[]): Promise<CloudEvent[][]> {
  const all: CloudEvent[][] = []
  for (const id of ids) all.push(await readAll(client.runs.events(id)))
  return all
}

/** Runs that have ended, and runs that wait for people. */
async function startRuns(client: BatonClient): Promise<{ ended: string[]; waiting: string[] }> {
  await client.workflows.put('backup-quick', QUICK as never)
  await client.workflows.put('backup-asks', ASKS as never)
  const [ended, waiting]: [string[], string[]] = [[], []]
  for (let n = 0; n < ENDED; n++) ended.push((await client.runs.start('backup-quick', {})).id)
  for (let n = 0; n < WAITING; n++) waiting.push((await client.runs.start('backup-asks', { input: { n } })).id)
  for (const id of ended) await client.runs.wait(id, { timeoutMs: WAIT_MS })
  const count = () => client.runs.count({ workflow: 'backup-asks', status: 'waiting' })
  await until(async () => (await count()) === WAITING, { timeoutMs: WAIT_MS, what: 'approvals to wait' })
  return { ended, waiting }
}

t.test(
  'a backup outlives all volumes: events are whole, and runs that waited for approval go on',
  { skip, timeout: 400_000 },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'baton-backup-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    const file = join(folder, 'of-the-test.dump')
    const { url, apiKey } = stackSettings()
    const client = createClient({ url, key: apiKey! })
    const operator = createClient({ url, key: (await client.keys.create({ name: 'backup-operator', role: 'operator' })).key })
    const { ended, waiting } = await startRuns(client)
    const all = [...ended, ...waiting]
    const before = await eventsOf(client, all)
    make('backup', `FILE=${file}`)
    const late = await client.runs.start('backup-quick', {})

    run('docker', 'compose', '--profile', '*', 'down', '--volumes', '--timeout', '5')
    t.equal(run('docker', 'volume', 'ls', '--quiet', '--filter', 'label=com.docker.compose.project=baton'), '', 'no volume is left')
    make('up')
    t.match(await client.workflows.get('backup-asks').catch((error) => error), { status: 404 }, 'the new stack knows nothing')
    make('restore', `FILE=${file}`)
    await until(async () => (await fetch(`${url}/ready`).catch(() => null))?.ok, {
      timeoutMs: WAIT_MS,
      what: 'the orchestrator to be ready',
    })

    t.strictSame(await eventsOf(client, all), before, 'each event is there, as it was')
    t.match(await client.runs.get(late.id).catch((error) => error), { status: 404 }, 'what came after the backup is gone')
    const pending = await readAll(client.approvals.list({ status: 'pending' }))
    const asked = pending.filter(({ run }) => waiting.includes(run))
    t.equal(asked.length, WAITING, 'all approvals wait')
    for (const { id } of asked) await operator.approvals.decide(id, { decision: 'approve' })
    for (const [n, id] of waiting.entries())
      t.match(await client.runs.wait(id, { timeoutMs: WAIT_MS }), { status: 'succeeded', output: { n, by: 'approve' } })
    for (const events of await eventsOf(client, waiting))
      t.strictSame(
        events.map(({ seq }) => seq),
        events.map((_, index) => index + 1),
        'without a gap',
      )
    const { id } = await client.runs.start('backup-quick', {})
    t.equal((await client.runs.wait(id, { timeoutMs: WAIT_MS })).status, 'succeeded', 'and new runs are made')
  },
)
