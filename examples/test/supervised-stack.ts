/** The six services on fixed ports, each started again when it dies; for tests that kill them. Always a stack of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { findFreePort, serviceProgram, type Teardown, type TestRedis, testDatabase, testRedis, until } from '@baton/testing'

export const SERVICES = ['orchestrator', 'workflow-runner', 'http-worker', 'hitl-worker', 'agent-runner', 'fanout'] as const
export type Service = (typeof SERVICES)[number]

export interface SupervisedStack {
  url: string
  liveUrl: string
  adminKey: string
  redis: TestRedis
  /** Sends the signal; resolves with how the process ended. It is started again at once, as a supervisor would. */
  end(service: Service, signal: 'SIGKILL' | 'SIGTERM'): Promise<{ code: number | null; durationMs: number }>
  ready(service: Service): Promise<void>
  /** One more of it, on a free port; it is not started again when it dies. */
  add(service: Service): ChildProcess
}

/** Starts the stack and waits until each service is ready. */
export async function superviseStack(t: Teardown, settings: Record<string, string> = {}): Promise<SupervisedStack> {
  const [database, redis] = await Promise.all([testDatabase(t), testRedis(t)])
  const adminKey = randomBytes(16).toString('hex')
  const ports = Object.fromEntries(await Promise.all(SERVICES.map(async (service) => [service, await findFreePort()] as const)))
  const children = new Map<Service, ChildProcess>()
  const added: ChildProcess[] = []
  let stopping = false
  const env = {
    ...process.env,
    DATABASE_URL: database.url,
    REDIS_URL: redis.url,
    HOST: '127.0.0.1',
    LOG_LEVEL: process.env.SHOW_LOGS ?? 'error',
    BATON_ADMIN_KEY: adminKey,
    BATON_MASTER_KEY: randomBytes(32).toString('hex'),
    BATON_HTTP_ALLOW: '127.0.0.0/8',
    ...settings,
  }

  function spawnService(service: Service, port: string): ChildProcess {
    return spawn(process.execPath, serviceProgram(service), {
      env: { ...env, PORT: port },
      stdio: ['ignore', process.env.SHOW_LOGS ? 'inherit' : 'ignore', 'inherit'],
    })
  }

  function start(service: Service): void {
    const child = spawnService(service, String(ports[service]))
    children.set(service, child)
    child.once('exit', () => {
      if (!stopping) start(service)
    })
  }

  const ready = async (service: Service) => {
    const answers = async () => (await fetch(`http://127.0.0.1:${ports[service]}/ready`).catch(() => null))?.ok === true
    await until(answers, { timeoutMs: 30_000, what: `${service} to be ready` })
  }
  t.teardown(async () => {
    stopping = true
    const all = [...children.values(), ...added]
    const exits = all.filter((child) => child.exitCode === null && child.signalCode === null).map((child) => once(child, 'exit'))
    for (const child of all) child.kill('SIGKILL')
    await Promise.all(exits)
  })
  for (const service of SERVICES) start(service)
  await Promise.all(SERVICES.map(ready))
  return {
    url: `http://127.0.0.1:${ports.orchestrator}`,
    liveUrl: `http://127.0.0.1:${ports.fanout}`,
    adminKey,
    redis,
    ready,
    add(service) {
      const child = spawnService(service, '0')
      added.push(child)
      return child
    },
    async end(service, signal) {
      const child = children.get(service)!
      const startedAt = performance.now()
      const exited = once(child, 'exit')
      child.kill(signal)
      const [code] = (await exited) as [number | null]
      return { code, durationMs: performance.now() - startedAt }
    },
  }
}
