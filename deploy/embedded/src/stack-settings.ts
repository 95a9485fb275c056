import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { makeSecret, readDotEnv, writeDotEnv } from './dot-env.ts'
import { POSTGRES_PORT, REDIS_PORT, replicasSetting, SERVICE_NAMES, SERVICES, type ServiceName } from './services.ts'
import type { StackPaths } from './stack-paths.ts'
import { explainFileError, StackProblem } from './stack-problem.ts'

/** Everything the embedded stack is started with. */
export type StackSettings = {
  /** What the services get as their environment. */
  values: Record<string, string>
  adminKey: string
  masterKey: string
  databaseUrl: string
  redisUrl: string
  /** Whether this stack runs the server itself; false when a URL was given. */
  ownPostgres: boolean
  ownRedis: boolean
  portOffset: number
  host: string
  replicas: Record<ServiceName, number>
}

type Env = Record<string, string | undefined>
type EmbeddedUrls = { DATABASE_URL?: string; REDIS_URL?: string }

const PORT_OFFSET_MAX = 65_535 - POSTGRES_PORT

/** Reads the settings: the environment wins over .env. Writes what is missing in .env (the first start), and moves its URLs with the ports. */
export function loadStackSettings(paths: StackPaths, env: Env = process.env): StackSettings {
  const file = readDotEnv(paths.dotEnv)
  const filesNamed = Object.fromEntries(Object.entries(file).filter(([name]) => name.endsWith('_FILE')))
  const given = dropEmpty({ ...filesNamed, ...env })
  const portOffset = parseWhole('BATON_PORT_OFFSET', given['BATON_PORT_OFFSET'] ?? file['BATON_PORT_OFFSET'], 0, PORT_OFFSET_MAX, 0)
  const known = readEmbeddedUrls(paths)
  const database = decideUrl('DATABASE_URL', { file, given, known, port: POSTGRES_PORT + portOffset, make: makeDatabaseUrl })
  const redis = decideUrl('REDIS_URL', { file, given, known, port: REDIS_PORT + portOffset, make: makeRedisUrl })
  const adminKey = file['BATON_ADMIN_KEY'] || makeSecret()
  const masterKey = file['BATON_MASTER_KEY'] || makeSecret()
  const kept = { BATON_ADMIN_KEY: adminKey, BATON_MASTER_KEY: masterKey, DATABASE_URL: database.kept, REDIS_URL: redis.kept }
  if (Object.entries(kept).some(([name, value]) => file[name] !== value)) writeDotEnv(paths.dotEnv, kept)
  writeEmbeddedUrls(paths, { DATABASE_URL: database.embedded, REDIS_URL: redis.embedded })

  const BATON_PUBLIC_URL = `http://127.0.0.1:${SERVICES.orchestrator + portOffset}`
  const values: Env = {
    BATON_HTTP_ALLOW: '127.0.0.0/8,::1/128',
    BATON_PUBLIC_URL,
    HOST: '127.0.0.1',
    LOG_LEVEL: 'info',
    ...file,
    ...kept,
    ...env,
  }
  for (const name of Object.keys(given)) if (name.endsWith('_FILE') && !given[name.slice(0, -5)]) delete values[name.slice(0, -5)]
  for (const name of Object.keys(kept) as (keyof typeof kept)[]) if (!given[name] && !given[`${name}_FILE`]) values[name] = kept[name]
  Object.assign(values, { BATON_PORT_OFFSET: String(portOffset) })
  return {
    values: withoutUndefined(values),
    adminKey: readValue(given, 'BATON_ADMIN_KEY') ?? adminKey,
    masterKey: readValue(given, 'BATON_MASTER_KEY') ?? masterKey,
    databaseUrl: database.url,
    redisUrl: redis.url,
    ownPostgres: database.own,
    ownRedis: redis.own,
    portOffset,
    host: values['HOST'] || '127.0.0.1',
    replicas: readReplicas({ ...file, ...given }),
  }
}

type UrlName = keyof EmbeddedUrls
type Decision = { url: string; own: boolean; kept: string; embedded: string | undefined }

/**
 * Which server to use. A URL in the environment is a server of the user's, unless it is the very one that was made for this stack; one in
 * .env is the user's when it does not look like the one made for this stack.
 */
function decideUrl(
  name: UrlName,
  from: { file: Env; given: Env; known: EmbeddedUrls; port: number; make: (port: number) => string },
): Decision {
  const { file, known, port, make } = from
  const inFile = file[name]
  const ours = (url: string) => url === known[name] || looksEmbedded(url, port)
  const fileIsOurs = !inFile || ours(inFile)
  const kept = fileIsOurs ? withPort(inFile || make(port), port) : inFile
  const given = readValue(from.given, name)
  if (given !== undefined && given !== inFile && given !== kept) return { url: given, own: false, kept, embedded: known[name] }
  return { url: kept, own: fileIsOurs, kept, embedded: fileIsOurs ? kept : known[name] }
}

function looksEmbedded(url: string, port: number): boolean {
  if (!URL.canParse(url)) return false
  const { hostname, username, password, port: itsPort } = new URL(url)
  // Also one that was made for another BATON_PORT_OFFSET, and outlived its record in .local.
  return hostname === '127.0.0.1' && (username === 'baton' || username === '') && (Number(itsPort) === port || MADE_SECRET.test(password))
}

function withPort(url: string, port: number): string {
  return url.replace(/:\d+(?=\/)/, `:${port}`)
}

/** What makeSecret makes. */
const MADE_SECRET = /^[0-9a-f]{64}$/
const makeDatabaseUrl = (port: number) => `postgres://baton:${makeSecret()}@127.0.0.1:${port}/baton`
const makeRedisUrl = (port: number) => `redis://:${makeSecret()}@127.0.0.1:${port}/0`

/** The value of a setting, or what stands in the file that NAME_FILE names. */
function readValue(env: Env, name: string): string | undefined {
  const path = env[`${name}_FILE`]
  if (env[name] || !path) return env[name]
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw new StackProblem(`${name}_FILE names ${path}, which cannot be read (${(error as NodeJS.ErrnoException).code}).`, { cause: error })
  }
}

function readReplicas(env: Env): Record<ServiceName, number> {
  const entries = SERVICE_NAMES.map((service) => {
    const name = replicasSetting(service)
    return [service, parseWhole(name, env[name], 0, 64, 1)]
  })
  return Object.fromEntries(entries) as Record<ServiceName, number>
}

function parseWhole(name: string, text: string | undefined, min: number, max: number, fallback: number): number {
  if (text === undefined || text === '') return fallback
  const number = Number(text)
  if (Number.isInteger(number) && number >= min && number <= max) return number
  throw new StackProblem(`${name} must be a whole number from ${min} to ${max}, and is "${text}".`)
}

function readEmbeddedUrls({ embeddedUrls }: StackPaths): EmbeddedUrls {
  try {
    return JSON.parse(readFileSync(embeddedUrls, 'utf8')) as EmbeddedUrls
  } catch {
    return {}
  }
}

function writeEmbeddedUrls({ local, embeddedUrls }: StackPaths, urls: EmbeddedUrls): void {
  const text = JSON.stringify(urls)
  if (existsSync(embeddedUrls) && readFileSync(embeddedUrls, 'utf8') === text) return
  try {
    mkdirSync(local, { recursive: true })
    writeFileSync(embeddedUrls, text, { mode: 0o600 })
  } catch (error) {
    throw explainFileError(error, local)
  }
}

/** An empty setting in the environment counts as not given, save BATON_HTTP_ALLOW, which may be meant to be empty. */
function dropEmpty(env: Env): Env {
  return Object.fromEntries(
    Object.entries(env).filter(([name, value]) => value !== undefined && (value !== '' || name === 'BATON_HTTP_ALLOW')),
  )
}

function withoutUndefined(values: Env): Record<string, string> {
  return Object.fromEntries(Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined))
}
