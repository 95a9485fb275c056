import { type ChildProcess, spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { createClient } from '@baton/client'
import { endProcess, findFreePort, serviceProgram, testDatabase, testRedis, until } from '@baton/testing'
import t, { type Test } from 'tap'
import { runCli } from '../src/run-cli.ts'

const KEY = 'admin-key-of-the-test'
const MASTER_KEY = '0'.repeat(64)

/** The services that a run without HTTP calls needs, as processes. */
async function startStack(t: Test) {
  const [database, redis] = await Promise.all([testDatabase(t), testRedis(t)])
  const shared = { PATH: process.env.PATH, DATABASE_URL: database.url, REDIS_URL: redis.url, HOST: '127.0.0.1', LOG_LEVEL: 'warn' }
  const start = async (service: string): Promise<string> => {
    const port = await findFreePort()
    const env = { ...shared, PORT: String(port), BATON_ADMIN_KEY: KEY, BATON_MASTER_KEY: MASTER_KEY }
    const child: ChildProcess = spawn(process.execPath, serviceProgram(service), {
      env,
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    t.teardown(() => endProcess(child, 'SIGTERM'))
    const url = `http://127.0.0.1:${port}`
    await until(async () => child.exitCode !== null || (await fetch(`${url}/ready`)).ok, {
      timeoutMs: 60_000,
      what: `${service} to be ready`,
    })
    if (child.exitCode !== null) throw new Error(`${service} ended with ${child.exitCode}`)
    return url
  }
  const [url, fanoutUrl] = await Promise.all([start('orchestrator'), start('fanout'), start('workflow-runner')])
  return { url, fanoutUrl }
}

const WORKFLOW = `
steps:
  greet: { set: { text: "Hello \${{ input.name }}" } }
  ask:
    needs: [greet]
    approval: { title: "Greet \${{ input.name }}?", assignees: [role:admin], allowSelf: true }
  done: { set: { text: "\${{ steps.greet.output.text }}!", decision: "\${{ steps.ask.output.decision }}" } }
output: \${{ steps.done.output }}
`

t.test('push, start, watch, approve and show against the real services', { timeout: 110_000 }, async (t) => {
  const { url, fanoutUrl } = await startStack(t)
  const home = t.testdir()
  const output = { out: '', err: '' }
  const baton = async (...args: string[]) => {
    output.out = output.err = ''
    const code = await runCli(args, {
      env: { HOME: home, BATON_URL: url, BATON_FANOUT_URL: fanoutUrl, BATON_KEY: KEY },
      cwd: home,
      isTty: false,
      columns: 120,
      stdin: Readable.from([]),
      out: (text) => {
        output.out += text
      },
      err: (text) => {
        output.err += text
      },
      signal: new AbortController().signal,
    })
    t.equal(output.err, code === 0 ? '' : output.err)
    return code
  }
  await writeFile(join(home, 'greeting.yaml'), WORKFLOW)
  await writeFile(join(home, 'broken.yaml'), 'steps:\n  a: { set: { x: "${{ steps.nobody.output }}" } }\n')
  t.equal(await baton('workflows', 'validate', 'greeting.yaml'), 0)
  t.equal(await baton('workflows', 'push', 'broken.yaml'), 1)
  t.match(output.err, /BTN_INVALID_DEFINITION\)\n {2}\/steps\/a\/set\/x \(line 2, column \d+\)/)
  t.equal(await baton('workflows', 'push', 'greeting.yaml', '--tag', 'live'), 0)
  t.equal(output.out, 'greeting is at version 1 (live)\n')
  t.equal(await baton('workflows', 'show', 'greeting'), 0)
  t.match(output.out, /# greeting, version 1[\s\S]*steps:/)

  t.equal(await baton('runs', 'start', 'greeting', '--input', '{"name":"Ada"}', '--label', 'team:a', '--json'), 0)
  const { id } = JSON.parse(output.out) as { id: string }
  const client = createClient({ url, fanoutUrl, key: KEY })
  const watching = (async () => {
    const seqs: number[] = []
    for await (const event of client.watchRun(id)) seqs.push(event.seq)
    return seqs
  })()
  const pending = await until(async () => {
    await baton('approvals', 'list', '--mine', '--json')
    return (JSON.parse(output.out) as { id: string; run: string }[]).find((approval) => approval.run === id)
  })
  t.equal(await baton('runs', 'show', id), 0)
  t.match(output.out, /Waits for\n {2}ask: /)
  t.equal(await baton('approvals', 'approve', pending.id, '--comment', 'fine'), 0)
  t.match(output.out, /Voted approve on "Greet Ada\?"; decided: approve/)
  t.equal(await baton('approvals', 'approve', pending.id), 1, 'votes are final')

  const seqs = await watching
  const run = await client.runs.wait(id, { timeoutMs: 10_000 })
  t.match(run, { status: 'succeeded', output: { text: 'Hello Ada!', decision: 'approve' }, lastSeq: seqs.length })
  t.same(
    seqs,
    Array.from({ length: seqs.length }, (_, index) => index + 1),
  )
  const bySse: number[] = []
  for await (const event of client.watchRunSse(id, { after: 2 })) bySse.push(event.seq)
  t.same(bySse, seqs.slice(2))
  const byRest: number[] = []
  for await (const event of client.runs.events(id)) byRest.push(event.seq)
  t.same(byRest, seqs)

  t.equal(await baton('runs', 'watch', id), 0)
  t.match(output.out, /1 {2}run created[\s\S]*step greet succeeded[\s\S]*run succeeded/)
  t.equal(await baton('runs', 'list', '--workflow', 'greeting', '--label', 'team:a', '--json'), 0)
  t.match(JSON.parse(output.out), [{ id, status: 'succeeded' }])
  t.equal(await baton('runs', 'start', 'greeting', '--input', '{"name":"Bob"}', '--json'), 0)
  const other = (JSON.parse(output.out) as { id: string }).id
  await t.test('a run is patched, held, let go on and cancelled', async (t) => {
    await writeFile(join(home, 'patched.yaml'), WORKFLOW.replace('.text }}!"', '.text }}?"'))
    await until(async () => (await client.runs.get(other)).status === 'waiting')
    t.equal(await baton('runs', 'patch', other, '--definition', '@patched.yaml'), 0)
    t.equal(output.out, `${other} goes on by version 2\n`)
    t.match(await client.runs.definition(other), { definition: { steps: { done: { set: { text: /\?$/ } } } } })
    t.equal(await baton('runs', 'patch', other, '--definition', '@patched.yaml'), 0)
    t.match(output.out, /keeps version 2/)
    const started = '[{"op":"remove","path":"/steps/greet"}]'
    t.equal(await baton('runs', 'patch', other, '--operations', started), 1)
    t.match(output.err, /BTN_RUN_STATE\)\n {2}\/steps\/greet: /)
    t.equal(await baton('runs', 'pause', other), 0)
    t.equal(output.out, `${other} is being paused\n`)
    await until(async () => (await client.runs.get(other)).status === 'paused')
    t.equal(await baton('runs', 'pause', other), 0)
    t.equal(output.out, `${other} is paused\n`)
    t.equal(await baton('runs', 'resume', other), 0)
    t.equal(output.out, `${other} is being resumed\n`)
    await until(async () => (await client.runs.get(other)).status === 'waiting')
    t.equal(await baton('runs', 'cancel', other), 0)
    t.equal(output.out, `${other} is being cancelled\n`)
    t.equal((await client.runs.wait(other, { timeoutMs: 10_000 })).status, 'cancelled')
    t.equal(await baton('runs', 'cancel', other), 0)
    t.equal(output.out, `${other} is cancelled\n`)
  })
  t.equal(await baton('vars', 'set', 'SHOP', '--text', 'http://shop'), 0)
  t.equal(await baton('vars', 'get', 'SHOP', '--json'), 0)
  t.match(JSON.parse(output.out), { name: 'SHOP', value: 'http://shop' })
  t.equal(await baton('vars', 'delete', 'SHOP'), 0)
  t.equal(await client.runs.count({ workflow: 'greeting' }), 2)
  t.equal(await baton('runs', 'show', 'run_unknown'), 1)
  t.match(output.err, /BTN_RUN_NOT_FOUND/)

  await t.test('what starts runs: an event through its trigger, a schedule', async (t) => {
    await writeFile(join(home, 'paid.yaml'), 'type: event\nevent: shop.paid\nworkflow: greeting\ninput: { name: "${{ event.subject }}" }\n')
    t.equal(await baton('triggers', 'put', 'paid', '--body', '@paid.yaml'), 0)
    t.equal(output.out, 'paid starts greeting\n')
    const post = ['events', 'post', '--type', 'shop.paid', '--subject', 'Eve', '--id', '1']
    t.equal(await baton(...post), 0)
    t.equal(await baton(...post), 0)
    t.equal(output.out, '0 accepted, 1 seen before\n')
    t.equal(await baton('runs', 'list', '--label', 'baton.trigger:paid', '--json'), 0)
    t.match(JSON.parse(output.out), [{ workflow: 'greeting', input: { name: 'Eve' } }])
    const schedule = ['schedules', 'put', 'daily', '--cron', '@daily', '--workflow', 'greeting', '--timezone', 'Europe/Berlin']
    t.equal(await baton(...schedule, '--cron', 'never'), 1)
    t.match(output.err, /BTN_INVALID_REQUEST\)\n {2}\/cron: /)
    t.equal(await baton(...schedule, '--input', '{"name":"Ada"}'), 0)
    t.match(output.out, /^daily starts greeting next at \d{4}-/)
    t.equal(await baton('schedules', 'list'), 0)
    t.match(output.out, /daily +greeting +@daily +Europe\/Berlin/)
    t.equal(await baton('triggers', 'put', 'hook', '--body', '{"type":"webhook","workflow":"greeting","verify":"none"}'), 0)
    t.match(output.out, /deliveries go to \/hooks\/\S+, which is shown this once/)
    t.equal(await baton('triggers', 'delete', 'hook', 'paid'), 0)
    t.equal(await baton('schedules', 'delete', 'daily'), 0)
    t.equal(await baton('schedules', 'get', 'daily'), 1)
  })
})
