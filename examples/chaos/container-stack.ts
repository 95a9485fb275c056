/**
 * The same stack in containers, from compose/compose.yaml: two of each service, PostgreSQL, Redis and the shop, in a project of its own, so
 * that no other stack of this machine is touched. Needs a Docker engine with compose 2.24.4 or newer.
 */
import { randomBytes } from 'node:crypto'
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findFreePort, type Teardown, until } from '@baton/testing'
import { type ContainerReplica, type Containers, keepContainer, type Place, STOP_SECONDS } from './container-replica.ts'
import { containerPostgres, containerRedis } from './container-servers.ts'
import { containersOf, docker, followContainers, guardContainers } from './docker.ts'
import { type ChaosStack, logFolder, ROOT, SERVICES, type Service } from './stack.ts'

const PROJECT = 'baton-chaos'
const FILES = ['compose/compose.yaml', 'examples/chaos/compose.yaml']
/** A command of compose on the stack, by the files of a checkout. */
const composeOf = (checkout: string, ...command: string[]) => [
  ...['compose', '--project-name', PROJECT, ...FILES.flatMap((file) => ['--file', join(checkout, file)]), '--profile', 'demo'],
  ...command,
]
const REMOVE = composeOf(ROOT, 'down', '--volumes', '--remove-orphans', '--timeout', '0')
/** The tags of the images: of this checkout, and of the one that the stack is upgraded to. */
const [VERSION, NEXT_VERSION] = ['test', 'next']
const START_MS = 180_000

/** The stack in containers, and what is done to it from outside of them. */
export interface ContainerStack extends ChaosStack {
  project: string
  replicas: readonly ContainerReplica[]
  of(service: Service): ContainerReplica[]
  /** The container that stands under this name of the compose file now. */
  idOf(inCompose: string): string
  /** `docker compose …` with its output, by the files of this checkout. */
  compose(...command: string[]): Promise<string>
  /** To be called when containers were replaced other than by `replica.replace`. */
  lookAgain(): Promise<void>
  /** Builds the images of another checkout; `replica.replace` takes them from then on. */
  buildNext(checkout: string): Promise<(...command: string[]) => Promise<string>>
}

/** Builds the images, starts everything and waits until each service is ready. Logs are left in `.local/chaos/<name>`. */
export async function startContainerStack(t: Teardown, name: string): Promise<ContainerStack> {
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
  const compose = (...command: string[]) => docker(composeOf(ROOT, ...command), { env })
  await compose('build', '--quiet')
  await compose('up', '--detach')
  const containers = await nameContainers(env)
  const crashes: string[] = []
  for (const place of places) replicas.push(keepContainer(place, containers, crashes))
  const of = (service: Service) => replicas.filter((replica) => replica.service === service)
  const allReady = async () => void (await Promise.all(replicas.map((replica) => replica.ready())))
  await Promise.all(replicas.map((replica) => replica.ready(START_MS)))
  await until(async () => (await fetch(`${shopUrl}/healthz`)).ok, { timeoutMs: START_MS, what: 'the shop to be open' })
  return {
    urls: of('orchestrator').map(({ url }) => url),
    liveUrls: of('fanout').map(({ url }) => url),
    callUrl: 'http://shop:8090',
    postgres: containerPostgres(() => containers.idOf('postgres')),
    redis: containerRedis(() => containers.idOf('redis')),
    ...{ project: PROJECT, compose, ...containers, shopUrl, adminKey, replicas, of, crashes, logs, allReady },
  }
}

/** Which container stands under which name, and by which files it is made again. */
async function nameContainers(env: NodeJS.ProcessEnv): Promise<Containers & Pick<ContainerStack, 'lookAgain' | 'buildNext'>> {
  let ids = await containersOf(PROJECT)
  let makeBy = (...command: string[]) => docker(composeOf(ROOT, ...command), { env })
  const lookAgain = async () => {
    ids = await containersOf(PROJECT)
  }
  return {
    idOf: (inCompose) => ids.get(inCompose)!,
    lookAgain,
    async buildNext(checkout) {
      makeBy = (...command) => docker(composeOf(checkout, ...command), { env: { ...env, BATON_VERSION: NEXT_VERSION } })
      await makeBy('build', '--quiet')
      return makeBy
    },
    async makeAgain(inCompose) {
      await makeBy('up', '--detach', '--no-deps', '--timeout', STOP_SECONDS, inCompose)
      await lookAgain()
    },
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
    database_direct_url: '',
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
    BATON_VERSION: VERSION,
    BATON_SECRETS_DIR: secrets,
    HTTP_WORKER_REPLICAS: '1',
    AGENT_RUNNER_REPLICAS: '1',
    BATON_HTTP_ALLOW: 'shop',
    LOG_LEVEL: process.env.CHAOS_LOG_LEVEL ?? 'info',
    ...Object.fromEntries(places.map(({ name, port }) => [variableOf(name), String(port)])),
    CHAOS_PORT_SHOP: String(shopPort),
  }
}

async function saveLogs(folder: string): Promise<void> {
  for (const [inCompose, id] of await containersOf(PROJECT)) {
    writeFileSync(join(folder, `${inCompose}.log`), await docker(['logs', id], { errors: true }))
  }
}
