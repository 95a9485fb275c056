/** The six services as processes of this test, on free ports, with a database and a Redis of its own; or the stack that BATON_URL names. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { endProcess, findFreePort, serviceProgram, type Teardown, testDatabase, testRedis } from '@baton/testing'

export interface Stack {
  url: string
  liveUrl: string
  adminKey: string
  /** Where each service listens, of a stack that was started here. */
  urls: Partial<Record<(typeof SERVICES)[number], string>>
  /** Of a stack that was started here. */
  servers?: { databaseUrl: string; redisUrl: string }
}

export interface StackOptions {
  /** Settings of all services; such a stack is always started, also where BATON_URL names another one. */
  settings?: Record<string, string>
  /** Every line that a service writes. */
  onLine?(service: string, line: string): void
}

const SERVICES = ['orchestrator', 'workflow-runner', 'http-worker', 'hitl-worker', 'agent-runner', 'fanout'] as const
const LOG_LINES_KEPT = 40
const GRACE_MS = 26_000

/** Starts the stack; it ends with the test, with its processes. */
export async function startStack(t: Teardown, options: StackOptions = {}): Promise<Stack> {
  const { BATON_URL: url, BATON_LIVE_URL: liveUrl, BATON_ADMIN_KEY: adminKey } = process.env
  if (url && liveUrl && adminKey && !options.settings) return { url, liveUrl, adminKey, urls: {} }
  return startStackOn(t, (await testRedis(t)).url, options)
}

/** As startStack, always a stack of its own, on the Redis that is given. */
export async function startStackOn(t: Teardown, redisUrl: string, { settings, onLine }: StackOptions = {}): Promise<Stack> {
  const database = await testDatabase(t)
  const key = randomBytes(16).toString('hex')
  // Known beforehand: workers tell whoever they call where to call back.
  const port = await findFreePort()
  const env = {
    ...process.env,
    DATABASE_URL: database.url,
    REDIS_URL: redisUrl,
    HOST: '127.0.0.1',
    PORT: '0',
    LOG_LEVEL: 'info',
    BATON_ADMIN_KEY: key,
    BATON_MASTER_KEY: randomBytes(32).toString('hex'),
    BATON_HTTP_ALLOW: '127.0.0.0/8',
    BATON_PUBLIC_URL: `http://127.0.0.1:${port}`,
    ...settings,
  }
  const children: ChildProcess[] = []
  t.teardown(() => Promise.all(children.map((child) => stop(child))))
  const started = await Promise.all(
    SERVICES.map((service) => startService(service, service === 'orchestrator' ? { ...env, PORT: `${port}` } : env, children, onLine)),
  )
  const urls = Object.fromEntries(SERVICES.map((service, index) => [service, started[index]!]))
  const servers = { databaseUrl: database.url, redisUrl }
  return { url: urls.orchestrator!, liveUrl: urls.fanout!, adminKey: key, urls, servers }
}

async function startService(
  service: string,
  env: NodeJS.ProcessEnv,
  children: ChildProcess[],
  onLine: StackOptions['onLine'],
): Promise<string> {
  const child = spawn(process.execPath, serviceProgram(service), { env, stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  return untilListening(child, service, onLine)
}

async function stop(child: ChildProcess): Promise<void> {
  const late = setTimeout(() => child.kill('SIGKILL'), GRACE_MS)
  await endProcess(child, 'SIGTERM')
  clearTimeout(late)
}

function untilListening(child: ChildProcess, service: string, onLine: StackOptions['onLine']): Promise<string> {
  const last: string[] = []
  return new Promise((resolve, reject) => {
    const read = (line: string) => {
      onLine?.(service, line)
      last.push(line)
      if (last.length > LOG_LINES_KEPT) last.shift()
      const url = /"url":"(http[^"]+)".*"msg":"service listening"/.exec(line)?.[1]
      if (url) resolve(url)
    }
    createInterface({ input: child.stdout! }).on('line', read)
    createInterface({ input: child.stderr! }).on('line', read)
    child.once('exit', (code, signal) =>
      reject(new Error(`${service} ended with ${code ?? signal} before it listened:\n${last.join('\n')}`)),
    )
  })
}
