/** The stack as processes of this machine, on fixed ports, with a PostgreSQL and a Redis that are its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { durablePostgres, durableRedis, findFreePort, type Teardown } from '@baton/testing'
import { type ChaosStack, logFolder, type Replica, ROOT, readyAt, SERVICES, type Service } from './stack.ts'

export interface StackOptions {
  /** Of each service; 2. */
  each?: number
  settings?: Record<string, string>
  /** Settings of one process, by its name (`http-worker-2`). */
  settingsOf?: Record<string, Record<string, string>>
}

const RESTART_MS = 300

/** Starts everything and waits until each process is ready. Logs are left in `.local/chaos/<name>`. */
export async function startProcessStack(t: Teardown, name: string, options: StackOptions = {}): Promise<ChaosStack> {
  const [postgres, redis] = await Promise.all([durablePostgres(t), durableRedis(t)])
  const logs = logFolder(name)
  const shopUrl = await startShopProcess(t)
  const adminKey = randomBytes(16).toString('hex')
  const env = {
    ...process.env,
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    HOST: '127.0.0.1',
    LOG_LEVEL: process.env.CHAOS_LOG_LEVEL ?? 'info',
    BATON_ADMIN_KEY: adminKey,
    BATON_MASTER_KEY: randomBytes(32).toString('hex'),
    BATON_HTTP_ALLOW: '127.0.0.0/8',
    ...options.settings,
  }
  const crashes: string[] = []
  const names = SERVICES.flatMap((service) => Array.from({ length: options.each ?? 2 }, (_, index) => ({ service, number: index + 1 })))
  const replicas = await Promise.all(
    names.map(async ({ service, number }) => {
      const label = `${service}-${number}`
      return keepReplica(t, { service, number, port: await findFreePort(), env: { ...env, ...options.settingsOf?.[label] }, logs, crashes })
    }),
  )
  const of = (service: Service) => replicas.filter((replica) => replica.service === service)
  const allReady = async () => void (await Promise.all(replicas.map((replica) => replica.ready())))
  await allReady()
  return {
    urls: of('orchestrator').map(({ url }) => url),
    liveUrls: of('fanout').map(({ url }) => url),
    callUrl: shopUrl,
    redis: { ...redis, pause: async () => redis.pause(), resume: async () => redis.resume() },
    ...{ shopUrl, adminKey, postgres, replicas, of, crashes, logs, allReady },
  }
}

interface ReplicaOptions {
  service: Service
  number: number
  port: number
  env: NodeJS.ProcessEnv
  logs: string
  crashes: string[]
}

function keepReplica(t: Teardown, { service, number, port, env, logs, crashes }: ReplicaOptions): Replica {
  const name = `${service}-${number}`
  const url = `http://127.0.0.1:${port}`
  const main = join(ROOT, 'services', service, 'src/main.ts')
  const logFile = join(logs, `${name}.log`)
  let child: ChildProcess
  let over = false
  let ending = false
  let killed = false

  const start = () => {
    if (over) return
    const log = openSync(logFile, 'a')
    child = spawn(process.execPath, ['--conditions=@baton/source', '--no-warnings', main], {
      env: { ...env, PORT: String(port) },
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    ending = false
    killed = false
    child.once('exit', (code, signal) => {
      if (!ending && !over && !couldNotStart(logFile)) crashes.push(`${name} ended by itself with ${signal ?? code}`)
      setTimeout(start, RESTART_MS)
    })
  }
  start()
  t.teardown(async () => {
    over = true
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  })
  return {
    ...{ service, number, name, url },
    async end(signal) {
      const startedAt = performance.now()
      if (child.exitCode !== null || child.signalCode !== null) return { code: child.exitCode, killed, durationMs: 0 }
      ending = true
      killed ||= signal === 'SIGKILL'
      const exited = once(child, 'exit')
      child.kill(signal)
      const [code] = (await exited) as [number | null]
      return { code, killed, durationMs: performance.now() - startedAt }
    },
    stop: async () => void child.kill('SIGSTOP'),
    go: async () => void child.kill('SIGCONT'),
    ready: (timeoutMs) => readyAt(name, url, timeoutMs),
  }
}

/** Who finds Postgres away when it starts may end, and is started again: that is no crash. */
function couldNotStart(logFile: string): boolean {
  return readFileSync(logFile, 'utf8').trimEnd().split('\n').at(-1)!.includes('service could not start')
}

/** The shop is the witness: a process of its own that nothing is done to. */
async function startShopProcess(t: Teardown): Promise<string> {
  const main = join(ROOT, 'examples/src/serve-shop.ts')
  const shop = spawn(process.execPath, ['--conditions=@baton/source', '--no-warnings', main], {
    env: { ...process.env, SHOP_PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(async () => {
    const exited = once(shop, 'exit')
    shop.kill('SIGKILL')
    await exited
  })
  for await (const line of createInterface({ input: shop.stdout })) {
    const url = /listens on (\S+)/.exec(line)?.[1]
    if (url) return url
  }
  throw new Error('the shop ended before it listened')
}
