import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createClient, type Json } from '@baton/client'
import { findFreePort, stubServer, until } from '@baton/testing'
import { test } from 'tap'
import { startShop } from '../src/shop.ts'
import { startStack } from './start-stack.ts'

const ROOT = join(import.meta.dirname, '../..')
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')

interface Ended {
  code: number | null
  output: string
}

/** Runs a program to its end; output is both streams as they came. */
function run(command: string, args: string[], options: { cwd?: string; env?: NodeJS.ProcessEnv }): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    child.stdout.on('data', (chunk) => (output += chunk))
    child.stderr.on('data', (chunk) => (output += chunk))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output }))
  })
}

/** The tour is made of curl commands; a machine without curl can do all else. */
function hasCurl(): boolean {
  return spawnSync('curl', ['--version'], { stdio: 'ignore' }).status === 0
}

/** The fenced `sh` blocks of the tour, as one script that stops at the first command that fails. */
function tourScript(): string {
  const tour = read('README.md').split('## A tour with curl')[1]!.split('\n## ')[0]!
  const blocks = [...tour.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1]!)
  return `set -eu\n${blocks.join('\necho\n')}`
}

test('the examples run', { timeout: 120_000 }, async (t) => {
  const stack = await startStack(t)
  const client = createClient({ url: stack.url, fanoutUrl: stack.liveUrl, key: stack.adminKey })
  const shop = await startShop()
  t.teardown(() => shop.close())
  const refunds = () => shop.calls.filter((call) => call.path === '/refunds').length

  await t.test('a small refund needs no consent', async (t) => {
    await client.workflows.put('refund', read('examples/refund.yaml'))
    const ended = await client.runs.start('refund', { input: { orderId: 'small', shop: shop.url }, waitMs: 30_000 })
    t.match(ended, { status: 'succeeded', output: { refundId: /^rf_/ } })
    const steps: Record<string, string> = {}
    for await (const step of client.runs.steps(ended.id)) steps[step.path] = step.status
    t.same(steps, { order: 'succeeded', review: 'skipped', refund: 'succeeded' })
  })

  await t.test('a big refund waits for a person, and is made when they approve', async (t) => {
    const before = refunds()
    const started = await client.runs.start('refund', { input: { orderId: 'big', shop: shop.url } })
    const types: string[] = []
    for await (const event of client.watchRun(started.id)) {
      types.push(event.type.replace('dev.baton.', ''))
      if (event.type !== 'dev.baton.approval.opened') continue
      const { items } = await client.runs.why(started.id)
      t.match(items[0], { step: 'review', movableBy: ['role:admin'] })
      t.equal(refunds(), before, 'nothing was refunded yet')
      await client.runs.decide(started.id, 'review', { decision: 'approve' })
    }
    t.equal(types[0], 'run.created')
    t.equal(types.at(-1), 'run.succeeded')
    t.match(await client.runs.get(started.id), { status: 'succeeded', output: { refundId: /^rf_/ } })
    t.equal(refunds(), before + 1)
  })

  await t.test('a rejected refund is never made', async (t) => {
    const before = refunds()
    const started = await client.runs.start('refund', { input: { orderId: 'big', shop: shop.url } })
    for await (const event of client.watchRunSse(started.id)) {
      if (event.type === 'dev.baton.approval.opened') await client.runs.decide(started.id, 'review', { decision: 'reject' })
    }
    const ended = await client.runs.get(started.id)
    t.match(ended, { status: 'failed', error: { code: 'BTN_APPROVAL_REJECTED' } })
    t.equal(refunds(), before)
  })

  await t.test('a hundred calls run side by side and are joined', async (t) => {
    await client.workflows.put('fan-out', read('examples/fan-out.yaml'))
    const ended = await client.runs.start('fan-out', { input: { shop: shop.url }, waitMs: 60_000 })
    t.match(ended, { status: 'succeeded', output: { items: 100, soldOut: 10 } })
    const items = shop.calls.filter((call) => call.path.startsWith('/stock/'))
    t.equal(new Set(items.map((call) => call.idempotencyKey)).size, 100)
  })

  await t.test('a model drafts and a person releases', async (t) => {
    await client.workflows.put('research', read('examples/research.yaml'))
    const started = await client.runs.start('research', { input: { question: 'Do we ship to Madeira?' } })
    for await (const event of client.watchRun(started.id)) {
      if (event.type === 'dev.baton.approval.opened') await client.runs.decide(started.id, 'release', { decision: 'approve' })
    }
    const ended = await client.runs.get(started.id)
    t.match(ended, { status: 'succeeded', output: { question: 'Do we ship to Madeira?', answer: /./, releasedBy: [/./] } })
  })

  await t.test('people are told of an approval, with a secret in the address', async (t) => {
    const receiver = await stubServer(t)
    await client.secrets.put('HOOK', 'path-9f3')
    const notify: Json = [{ webhook: { url: `${receiver.url}/\${{ secrets.HOOK }}` } }, { slack: { url: `${receiver.url}/slack` } }]
    const approval = { title: 'Go on with ${{ input.what }}?', assignees: ['role:admin'], allowSelf: true, notify }
    await client.workflows.put('told', { steps: [{ id: 'gate', approval }] })
    const started = await client.runs.start('told', { input: { what: 'it' } })
    await until(() => receiver.requests.length === 2)
    t.same(receiver.requests.map((request) => request.path).sort(), ['/path-9f3', '/slack'])
    t.match(receiver.requests.find((request) => request.path === '/path-9f3')!.body, {
      approval: { run: started.id, title: 'Go on with it?' },
    })
    const events: unknown[] = []
    for await (const event of client.runs.events(started.id)) events.push(event)
    t.notMatch(JSON.stringify(events), 'path-9f3')
  })

  await t.test('the demo ends with a refund', async (t) => {
    const env = {
      ...process.env,
      BATON_URL: stack.url,
      BATON_LIVE_URL: stack.liveUrl,
      BATON_API_KEY: stack.adminKey,
      SHOP_PORT: `${await findFreePort()}`,
    }
    const args = ['--conditions=@baton/source', '--no-warnings', join(ROOT, 'examples/src/demo.ts')]
    const approved = await run(process.execPath, [...args, '--yes'], { env })
    t.equal(approved.code, 0, approved.output)
    t.match(approved.output, /approval\.opened[\s\S]*approval\.decided[\s\S]*succeeded: \{"refundId":"rf_1"\}/)
    const rejected = await run(process.execPath, [...args, '--no'], { env })
    t.equal(rejected.code, 0, rejected.output)
    t.match(rejected.output, /failed: .*BTN_APPROVAL_REJECTED/)
  })

  await t.test('the tour of the README runs as it stands', { skip: hasCurl() ? false : 'curl is not installed here' }, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'baton-tour-'))
    t.teardown(() => rmSync(directory, { recursive: true }))
    for (const name of ['examples', 'node_modules']) symlinkSync(join(ROOT, name), join(directory, name))
    writeFileSync(join(directory, '.env'), `BATON_ADMIN_KEY=${stack.adminKey}\n`)
    const env = { ...process.env, BATON_URL: stack.url, BATON_LIVE_URL: stack.liveUrl, SHOP_PORT: `${await findFreePort()}` }
    const { code, output } = await run('sh', ['-c', tourScript()], { cwd: directory, env })
    t.equal(code, 0, output)
    t.match(output, /"output":\{"refundId":"rf_1"\}/, 'the small refund')
    t.match(output, /"output":\{"refundId":"rf_2"\}/, 'the big one')
    t.match(output, /event: dev\.baton\.run\.succeeded/)
  })
})

test('without a stack the demo says what to do', async (t) => {
  const env = { ...process.env, BATON_URL: `http://127.0.0.1:${await findFreePort()}`, BATON_API_KEY: 'none' }
  const args = ['--conditions=@baton/source', '--no-warnings', join(ROOT, 'examples/src/demo.ts'), '--yes']
  const { code, output } = await run(process.execPath, args, { env, cwd: dirname(ROOT) })
  t.equal(code, 1)
  t.match(output, /run "make up" first/)
})
