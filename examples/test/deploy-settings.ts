/** What the services can be given, asked of their own code, to hold files for other platforms against it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

/** The root of the checkout. */
export const ROOT = resolve(import.meta.dirname, '../..')
/** The services that there are, by the folders of those that can be started. */
export const SERVICES = readdirSync(join(ROOT, 'services'))
  .filter((name) => existsSync(join(ROOT, 'services', name, 'src/main.ts')))
  .sort()
/** Replicas and the limits in CPU and MiB that each service was given. */
export const SIZES: Record<string, { replicas: number; cpu: number; memoryMib: number }> = {
  orchestrator: { replicas: 1, cpu: 2, memoryMib: 1024 },
  'workflow-runner': { replicas: 1, cpu: 2, memoryMib: 1024 },
  'http-worker': { replicas: 2, cpu: 1, memoryMib: 512 },
  'hitl-worker': { replicas: 1, cpu: 1, memoryMib: 512 },
  'agent-runner': { replicas: 2, cpu: 2, memoryMib: 2048 },
  fanout: { replicas: 1, cpu: 2, memoryMib: 1024 },
}
/** Settings that hold a secret: never written in the open. */
export const SECRETS = [
  'DATABASE_URL',
  'DATABASE_DIRECT_URL',
  'REDIS_URL',
  'BATON_ADMIN_KEY',
  'BATON_MASTER_KEY',
  'OPENAI_API_KEY',
  'AGENT_PROVIDERS',
  'OTEL_EXPORTER_OTLP_HEADERS',
]

/** Read by Node or the C library, not by the service. */
const OF_THE_RUNTIME = ['NODE_OPTIONS', 'NODE_EXTRA_CA_CERTS', 'TZ']
const SAMPLES: Record<string, string> = {
  DATABASE_URL: 'postgres://baton:example@postgres:5432/baton',
  REDIS_URL: 'redis://:example@redis:6379/0',
  BATON_ADMIN_KEY: 'an example of an admin key',
  BATON_MASTER_KEY: '0'.repeat(64),
  OPENAI_API_KEY: 'example',
  AGENT_PROVIDERS: '{}',
  OTEL_EXPORTER_OTLP_HEADERS: 'authorization=example',
}
const MIGRATE = ['DATABASE_URL', 'DATABASE_POOLER', 'DATABASE_TLS_CA_FILE', 'DATABASE_DIRECT_URL', 'LOG_LEVEL']

type Parsed = Record<string, unknown>
interface Schema {
  shape: Record<string, unknown>
}

/** Text of a file of the checkout. */
export const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')

/** The settings that `service` reads; `migrate` is the program that brings the database up to date. */
export async function settingNames(service: string): Promise<string[]> {
  return service === 'migrate' ? MIGRATE : Object.keys((await schemaOf(service)).shape)
}

/**
 * What is wrong with the environment of a container: names that the service does not read, and what the service itself says at its start.
 * A secret given by NAME_FILE counts as a good one; `values` that stand for something else (`${…}`) are to be replaced before.
 */
export async function problemsOf(service: string, values: Record<string, string>): Promise<string[]> {
  const known = await settingNames(service)
  const given: Record<string, string> = {}
  const problems: string[] = []
  for (const [name, value] of Object.entries(values)) {
    const setting = name.replace(/_FILE$/, '')
    if (name.endsWith('_FILE') && known.includes(setting)) given[setting] = SAMPLES[setting] ?? ''
    else if (known.includes(name)) given[name] = value
    else if (!OF_THE_RUNTIME.includes(name)) problems.push(`${service} does not read ${name}`)
  }
  if (service === 'migrate')
    return known.includes('DATABASE_URL') && given['DATABASE_URL'] ? problems : [...problems, 'DATABASE_URL is not set']
  try {
    await parse(service, given)
  } catch (error) {
    problems.push((error as Error).message)
  }
  return problems
}

/** The port that a service listens on when nobody says another one. */
export async function portOf(service: string): Promise<number> {
  const names = await settingNames(service)
  return Number((await parse(service, Object.fromEntries(names.map((name) => [name, SAMPLES[name] ?? '']))))['PORT'])
}

async function parse(service: string, values: Record<string, string>): Promise<Parsed> {
  const { parseSettings } = (await load('packages/runtime/src/settings.ts')) as { parseSettings(schema: Schema, env: object): Parsed }
  return parseSettings(await schemaOf(service), values)
}

async function schemaOf(service: string): Promise<Schema> {
  return ((await load(`services/${service}/src/config.ts`)) as { Settings: Schema }).Settings
}

/** By a path that is made here: examples depend on no service, they only ask what is on disk. */
export function load(path: string): Promise<unknown> {
  return import(join(ROOT, path))
}
