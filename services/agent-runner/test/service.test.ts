import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { agentTurns, createProducer } from '@baton/runtime'
import { loadInbox } from '@baton/store'
import { endProcess, serviceProgram, stubServer, type Teardown, testDatabase, testRedis, until } from '@baton/testing'
import { test } from 'tap'
import { openRun } from './open-run.ts'

interface Service {
  url: string
  child: ChildProcess
  lines: string[]
}

async function startService(t: Teardown, env: Record<string, string>): Promise<Service> {
  const child = spawn(process.execPath, serviceProgram('agent-runner'), {
    env: { ...process.env, HOST: '127.0.0.1', PORT: '0', LOG_LEVEL: 'debug', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => endProcess(child, 'SIGKILL'))
  const lines: string[] = []
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`ended with ${code}:\n${lines.join('\n')}`)))
    createInterface({ input: child.stdout! }).on('line', (line) => {
      lines.push(line)
      const found = /"url":"(http[^"]+)".*"msg":"service listening"/.exec(line)?.[1]
      if (found) resolve(found)
    })
  })
  return { url, child, lines }
}

function completion(content: string) {
  const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }
  return {
    body: {
      id: 'c',
      object: 'chat.completion',
      created: 0,
      model: 'm',
      usage,
      choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
    },
  }
}

async function setUp(t: Teardown, answer: Parameters<typeof stubServer>[1]) {
  const [database, redis, models] = await Promise.all([testDatabase(t), testRedis(t), stubServer(t, answer)])
  const env = { DATABASE_URL: database.url, REDIS_URL: redis.url, OPENAI_BASE_URL: `${models.url}/v1`, OPENAI_API_KEY: 'sk-never-logged' }
  const producer = createProducer(agentTurns, redis.url)
  t.teardown(() => producer.close())
  await until(async () => (await producer.depth()) === 0, { what: 'the producer to be connected' })
  return { sql: database.sql, redis, models, env, producer }
}

test('turns are taken, and the service tells how it is', { timeout: 60_000 }, async (t) => {
  const { sql, env, producer } = await setUp(t, () => completion('250 EUR'))
  const service = await startService(t, env)
  const turn = await openRun(sql, { model: 'openai-compatible/m', prompt: 'How much?' })
  await producer.add(turn)
  const rows = await until(async () => {
    const found = await loadInbox(sql, [turn.runId])
    return found.length > 0 && found
  })
  t.match(rows[0]!.fact, { kind: 'turn', outcome: { status: 'succeeded', output: { text: '250 EUR', turns: 1 } } })
  await until(async () => (await producer.depth()) === 0)
  for (const probe of ['healthz', 'ready', 'health']) t.equal((await fetch(`${service.url}/${probe}`)).status, 200, probe)
  t.match(await (await fetch(`${service.url}/metrics`)).text(), 'baton_agent_turns_total{outcome="succeeded"} 1')
  const exit = new Promise((resolve) => service.child.once('exit', (code, signal) => resolve(code ?? signal)))
  service.child.kill('SIGTERM')
  t.equal(await exit, 0, 'SIGTERM ends it in order')
  t.notMatch(service.lines.join('\n'), /sk-never-logged|250 EUR|How much/, 'no key, prompt or answer is logged')
})

test('a turn whose worker was killed is taken by another', { timeout: 90_000 }, async (t) => {
  const held = Promise.withResolvers<void>()
  const { sql, models, env, producer } = await setUp(t, async (_request, index) => {
    if (index > 0) return completion('second')
    held.resolve()
    return new Promise(() => {})
  })
  const doomed = await startService(t, env)
  const turn = await openRun(sql, { model: 'openai/m' })
  await producer.add(turn)
  await held.promise
  await endProcess(doomed.child, 'SIGKILL')
  await startService(t, env)
  const rows = await until(
    async () => {
      const found = await loadInbox(sql, [turn.runId])
      return found.length > 0 && found
    },
    { timeoutMs: 60_000 },
  )
  t.match(rows[0]!.fact, { outcome: { status: 'succeeded', output: { text: 'second' } } })
  t.equal(models.requests.length, 2)
})

test('on SIGTERM a turn under way is finished', { timeout: 60_000 }, async (t) => {
  const asked = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  const { sql, env, producer } = await setUp(t, async () => {
    asked.resolve()
    await gate.promise
    return completion('done')
  })
  const service = await startService(t, env)
  const turn = await openRun(sql, { model: 'openai/m' })
  await producer.add(turn)
  await asked.promise
  const exit = new Promise((resolve) => service.child.once('exit', (code, signal) => resolve(code ?? signal)))
  service.child.kill('SIGTERM')
  await until(() => service.lines.some((line) => line.includes('service stopping')))
  gate.resolve()
  t.equal(await exit, 0)
  t.match((await loadInbox(sql, [turn.runId]))[0]!.fact, { outcome: { output: { text: 'done' } } })
})
