/**
 * The same stack in containers, from compose/compose.yaml: two of each service, PostgreSQL, Redis and the shop, in a project of its own, so
 * that no other stack of this machine is touched. Needs a Docker engine with compose 2.24.4 or newer.
 */
import { randomBytes } from 'node:crypto'
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { findFreePort, type Teardown, until } from '@baton/testing'
import { containerPostgres, containerRedis } from './container-servers.ts'
import { type ContainerEvent, containersOf, docker, followContainers, guardContainers } from './docker.ts'
import { tell } from './scene.ts'
import { type ChaosStack, logFolder, type Replica, ROOT, readyAt, SERVICES, type Service } from './stack.ts'

const PROJECT = 'baton-chaos'
const FILES = ['compose/compose.yaml', 'examples/chaos/compose.yaml']
const COMPOSE = ['compose', '--project-name', PROJECT, ...FILES.flatMap((file) => ['--file', join(ROOT, file)]), '--profile', 'demo']
const REMOVE = [...COMPOSE, 'down', '--volumes', '--remove-orphans', '--timeout', '0']
const UP = [...COMPOSE, 'up', '--detach']
const START_MS = 180_000
/** Longer than any service takes, and than one may stand still meanwhile. */
const STOP_SECONDS = '60'
/** How long word of an end may take. */
const HEAR_MS = 5_000

interface Place {
  service: Service
  number: number
  name: string
  /** Its name in the compose file. */
  inCompose: string
  port: number
}

/** Builds the images, starts everything and waits until each service is ready. Logs are left in `.local/chaos/<name>`. */
export async function startContainerStack(t: Teardown, name: string): Promise<ChaosStack> {
  const logs = logFolder(name)
  const places = await choosePlaces()
  const shopPort = await findFreePort()
  const shopUrl = `http://127.0.0.1:${shopPort}`
  const adminKey = randomBytes(16).toString('hex')
  const env = composeEnvironment(places, shopPort, writeSecrets(logs, adminKey))
  await docker(REMOVE, { env }) // what an engine that was stopped in the middle has kept
  const remove = guardContainers(REMOVE, env)
  const replicas: ContainerReplica[] = []
  const unfollow = followContainers(PROJECT, (event) => {
    appendFileSync(join(logs, 'events.log'), `${JSON.stringify(event)}\n`)
    replicas.find(({ inCompose }) => inCompose === event.service)?.hear(event)
  })
  t.teardown(async () => {
    unfollow()
    await saveLogs(logs).finally(remove)
  })
  await docker([...COMPOSE, 'build', '--quiet'], { env })
  await docker(UP, { env })
  const ids = await containersOf(PROJECT)
  const crashes: string[] = []
  for (const place of places) replicas.push(keepContainer(place, ids.get(place.inCompose)!, crashes))
  const of = (service: Service) => replicas.filter((replica) => replica.service === service)
  const allReady = async () => void (await Promise.all(replicas.map((replica) => replica.ready())))
  await Promise.all(replicas.map((replica) => replica.ready(START_MS)))
  await until(async () => (await fetch(`${shopUrl}/healthz`)).ok, { timeoutMs: START_MS, what: 'the shop to be open' })
  return {
    urls: of('orchestrator').map(({ url }) => url),
    liveUrls: of('fanout').map(({ url }) => url),
    callUrl: 'http://shop:8090',
    postgres: containerPostgres(ids.get('postgres')!),
    redis: containerRedis(ids.get('redis')!),
    ...{ shopUrl, adminKey, replicas, of, crashes, logs, allReady },
  }
}

async function choosePlaces(): Promise<Place[]> {
  const places: Place[] = []
  for (const service of SERVICES) {
    for (const number of [1, 2]) {
      const inCompose = number === 1 ? service : `${service}-${number}`
      places.push({ service, number, name: `${service}-${number}`, inCompose, port: await findFreePort() })
    }
  }
  return places
}

/** The files that compose mounts as secrets, in a folder of their own. */
function writeSecrets(logs: string, adminKey: string): string {
  const folder = join(logs, 'secrets')
  mkdirSync(folder, { mode: 0o700 })
  const [postgresPassword, redisPassword] = [randomBytes(16).toString('hex'), randomBytes(16).toString('hex')]
  const secrets = {
    admin_key: adminKey,
    master_key: randomBytes(32).toString('hex'),
    database_url: `postgres://baton:${postgresPassword}@postgres:5432/baton`,
    redis_url: `redis://:${redisPassword}@redis:6379/0`,
    postgres_password: postgresPassword,
    redis_password: redisPassword,
    openai_api_key: '',
    agent_providers: '',
    otlp_headers: '',
    grafana_password: 'unused',
  }
  for (const [name, value] of Object.entries(secrets)) writeFileSync(join(folder, name), value)
  return folder
}

/** All that the compose files read, so that nothing of it comes from a stack that this shell is set up for. */
function composeEnvironment(places: readonly Place[], shopPort: number, secrets: string): NodeJS.ProcessEnv {
  const variableOf = (name: string) => `CHAOS_PORT_${name.replaceAll('-', '_').toUpperCase()}`
  return {
    ...process.env,
    COMPOSE_PROJECT_NAME: PROJECT,
    BATON_IMAGE: PROJECT,
    BATON_VERSION: 'test',
    BATON_SECRETS_DIR: secrets,
    HTTP_WORKER_REPLICAS: '1',
    AGENT_RUNNER_REPLICAS: '1',
    BATON_HTTP_ALLOW: 'shop',
    LOG_LEVEL: process.env.CHAOS_LOG_LEVEL ?? 'info',
    ...Object.fromEntries(places.map(({ name, port }) => [variableOf(name), String(port)])),
    CHAOS_PORT_SHOP: String(shopPort),
  }
}

interface ContainerReplica extends Replica {
  inCompose: string
  hear(event: ContainerEvent): void
}

/**
 * A service in its container. SIGKILL, SIGSTOP and SIGCONT are sent from inside to the service itself, as a crash or the kernel would do it:
 * what is ended by `docker kill` counts as ended on purpose, and the engine does not start it again, which is what is to be tried here. A
 * SIGTERM is the engine's own `docker stop`, after which whoever stopped it starts it again, as a deployment does.
 */
function keepContainer(place: Place, id: string, crashes: string[]): ContainerReplica {
  const { name, port } = place
  const url = `http://127.0.0.1:${port}`
  let [running, ending, killed] = [true, false, false]
  let code: number | null = null
  let bornAt = 0
  let gone = Promise.withResolvers<void>()

  const signal = async (what: 'KILL' | 'STOP' | 'CONT') => {
    if (!running) return
    const ended = gone.promise.then(() => true)
    await docker(['exec', id, 'sh', '-c', `kill -s ${what} $(cat /proc/1/task/1/children)`]).catch(async (error) => {
      if (!(await Promise.race([ended, pause(HEAR_MS, false)]))) throw error // it did not end just then: it was not told
    })
  }
  return {
    ...place,
    url,
    hear({ action, code: endedWith, at }) {
      running = action === 'start'
      if (running) {
        ending = killed = false
        bornAt = at
        return
      }
      code = endedWith
      gone.resolve()
      gone = Promise.withResolvers()
      if (ending) return
      void hasListened(id, bornAt, at).then((had) => {
        if (had) crashes.push(`${name} ended by itself with ${endedWith}`)
        else tell(`           ${name} could not start, and ended with ${endedWith}`)
      })
    },
    async end(how) {
      const startedAt = performance.now()
      if (!running) return { code, killed, durationMs: 0 }
      ending = true
      killed ||= how === 'SIGKILL'
      const ended = gone.promise
      if (how === 'SIGKILL') await signal('KILL')
      else await docker(['stop', '-t', STOP_SECONDS, id])
      await ended
      const end = { code, killed, durationMs: performance.now() - startedAt }
      if (how === 'SIGTERM') await docker(['start', id])
      return end
    },
    stop: () => signal('STOP'),
    go: () => signal('CONT'),
    ready: (timeoutMs) => readyAt(name, url, timeoutMs),
  }
}

/** Who finds Postgres away, or is cut off from it, when it starts may end, and is started again: that is no crash. */
async function hasListened(id: string, bornAt: number, endedAt: number): Promise<boolean> {
  const said = await docker(['logs', '--since', `${bornAt}`, '--until', `${endedAt}`, id])
  return said.includes('service listening')
}

async function saveLogs(folder: string): Promise<void> {
  for (const [inCompose, id] of await containersOf(PROJECT)) {
    writeFileSync(join(folder, `${inCompose}.log`), await docker(['logs', id], { errors: true }))
  }
}
