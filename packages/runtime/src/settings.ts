/** Settings: environment variables, or files that `<NAME>_FILE` points to. Parsed once at the start; every problem is listed at once. */
import { accessSync, constants, readFileSync } from 'node:fs'
import { parseRedisUrl } from '@baton/contracts'
import { z } from 'zod'

/** Thrown by parseSettings; `problems` has one line for each setting that is missing or wrong. */
export class SettingsError extends Error {
  readonly problems: readonly string[]
  constructor(problems: readonly string[]) {
    super(`these settings are missing or wrong:\n${problems.map((line) => `  ${line}`).join('\n')}`)
    this.name = 'SettingsError'
    this.problems = problems
  }
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

/** A whole number within bounds, written in decimal. */
export function wholeNumber(min: number, max: number): z.ZodType<number, string> {
  return z
    .string()
    .regex(/^\d+$/, 'a whole number')
    .transform(Number)
    .refine((value) => value >= min && value <= max, `a whole number from ${min} to ${max}`)
}

function urlWith(protocols: readonly string[]): z.ZodType<string, string> {
  return z
    .string()
    .refine((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol), `a URL: ${protocols.join(' or ')}//…`)
}

/** A URL of Redis, as it was written; the files that it names can be read. */
const redisUrl = z.string().superRefine((text, ctx) => {
  try {
    const { ca, cert, key } = parseRedisUrl(text).tls ?? {}
    for (const file of [ca, cert, key]) if (file !== undefined) readFileSync(file)
  } catch (error) {
    ctx.addIssue({ code: 'custom', message: (error as Error).message })
  }
})

/** The 32 bytes of a master key, written as 64 hex digits or in base64; given as lower-case hex, however it was written. */
const masterKey = z.string().transform((text, ctx) => {
  const bytes = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, 'hex') : Buffer.from(text, 'base64')
  if (bytes.length === 32) return bytes.toString('hex')
  ctx.addIssue({ code: 'custom', message: '32 bytes in hex or base64; `openssl rand -hex 32` makes one' })
  return z.NEVER
})

const list = z.string().transform((text) =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== ''),
)

/** Settings that several services share; a service picks the ones it reads into its own `z.object`. */
export const commonSettings = {
  DATABASE_URL: urlWith(['postgres:', 'postgresql:']).describe('PostgreSQL, as postgres://user:password@host:5432/database'),
  REDIS_URL: redisUrl.describe('Redis, as redis://host:6379'),
  HOST: z.string().min(1).default('0.0.0.0').describe('address to listen on'),
  PORT: wholeNumber(0, 65_535).describe('port to listen on; 0 takes a free one'),
  LOG_LEVEL: z
    .enum(LOG_LEVELS)
    .default('info')
    .describe(`one of ${LOG_LEVELS.join(', ')}`),
  BATON_ADMIN_KEY: z.string().min(16, 'at least 16 characters').describe('the key of the first admin'),
  BATON_MASTER_KEY: masterKey.describe('encrypts secrets at rest'),
  BATON_HTTP_ALLOW: list.default([]).describe('CIDRs and host names, comma-separated, that may be called beside public addresses'),
} as const

/** How Postgres is reached; `databaseUrlOf` puts them together. */
export const databaseSettings = {
  DATABASE_URL: commonSettings.DATABASE_URL,
  DATABASE_POOLER: z
    .enum(['none', 'transaction'])
    .default('none')
    .describe('transaction where DATABASE_URL leads through PgBouncer in transaction mode, or a pooler like it'),
  DATABASE_TLS_CA_FILE: z
    .string()
    .refine(isReadable, 'the path of a file that can be read')
    .optional()
    .describe('the authorities, in PEM, that sign the certificate of Postgres; without sslmode in DATABASE_URL it means verify-full'),
} as const

/** For programs that need a session of their own, with `databaseSettings`. */
export const directUrl = commonSettings.DATABASE_URL.optional().describe('Postgres itself, where DATABASE_URL leads to a pooler')

type DatabaseSettings = { DATABASE_URL: string; DATABASE_POOLER: 'none' | 'transaction'; DATABASE_TLS_CA_FILE?: string | undefined }

/** DATABASE_URL with the other settings as parameters of it, where it does not have them itself: `pgbouncer` and `sslrootcert`. */
export function databaseUrlOf({ DATABASE_URL, DATABASE_POOLER, DATABASE_TLS_CA_FILE }: DatabaseSettings): string {
  const url = new URL(DATABASE_URL)
  const given = url.searchParams
  if (DATABASE_POOLER === 'transaction') given.set('pgbouncer', 'true')
  if (DATABASE_TLS_CA_FILE && !given.has('sslrootcert')) given.set('sslrootcert', DATABASE_TLS_CA_FILE)
  return url.search === new URL(DATABASE_URL).search ? DATABASE_URL : url.href
}

/** Past the pooler: DATABASE_DIRECT_URL where it is given, else DATABASE_URL; with the authorities of the other settings. */
export function directUrlOf(settings: DatabaseSettings & { DATABASE_DIRECT_URL?: string | undefined }): string {
  const { DATABASE_DIRECT_URL: direct } = settings
  return databaseUrlOf(direct ? { ...settings, DATABASE_URL: direct, DATABASE_POOLER: 'none' } : settings)
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK)
    return true
  } catch {
    return false
  }
}

/** Reads the settings that `schema` names. Throws SettingsError with all problems. Empty values count as unset. */
export function parseSettings<Schema extends z.ZodObject>(schema: Schema, env: NodeJS.ProcessEnv = process.env): z.output<Schema> {
  const problems: string[] = []
  const values: Record<string, string> = {}
  for (const name of Object.keys(schema.shape)) {
    const value = readSetting(name, env, problems)
    if (value !== undefined) values[name] = value
  }
  const parsed = schema.safeParse(values)
  if (parsed.success && problems.length === 0) return parsed.data
  for (const issue of parsed.error?.issues ?? []) {
    const name = String(issue.path[0] ?? '')
    if (problems.some((line) => line.startsWith(`${name}_FILE`))) continue
    problems.push(explain(name, values[name] === undefined, issue.message, schema.shape[name] as z.ZodType | undefined))
  }
  throw new SettingsError(problems)
}

function explain(name: string, missing: boolean, message: string, field: z.ZodType | undefined): string {
  const meaning = field?.description ? ` (${field.description})` : ''
  if (missing) return `${name} is not set${meaning}: set it, or ${name}_FILE to the path of a file that holds it`
  return `${name} is wrong${meaning}: expected ${message}`
}

function readSetting(name: string, env: NodeJS.ProcessEnv, problems: string[]): string | undefined {
  const direct = env[name]
  if (direct !== undefined && direct !== '') return direct
  const file = env[`${name}_FILE`]
  if (file === undefined || file === '') return undefined
  try {
    return readFileSync(file, 'utf8').trim() || undefined
  } catch (error) {
    problems.push(`${name}_FILE cannot be read: ${(error as Error).message}`)
    return undefined
  }
}

/** As parseSettings, for the start of a program: prints the problems to stderr and exits 1. */
export function loadSettings<Schema extends z.ZodObject>(schema: Schema, env: NodeJS.ProcessEnv = process.env): z.output<Schema> {
  try {
    return parseSettings(schema, env)
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exit(1)
  }
}
