/** What DATABASE_URL says beside host, user and database: the TLS parameters of libpq, by their names and meaning, and whether a pooler is in between. */
import { accessSync, constants } from 'node:fs'

const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const
/** As in libpq: `require` encrypts, `verify-ca` also checks who signed the certificate, `verify-full` also that it is for the host that was asked for. */
export type SslMode = (typeof SSL_MODES)[number]

/** How the connection is encrypted. Files are paths, read anew for each connection: certificates are renewed under running services. */
export interface DatabaseTls {
  mode: Exclude<SslMode, 'disable' | 'allow'>
  caFile?: string
  certFile?: string
  keyFile?: string
  keyPassword?: string
  /** TLS from the first byte (PostgreSQL 17), without asking first. */
  direct: boolean
}

/** A DATABASE_URL taken apart. */
export interface DatabaseTarget {
  /** The URL without the parameters that are read here: postgres.js would send each of them to the server as a setting of the session. */
  url: string
  /** Folder of a Unix socket, or host names. */
  hosts: string[]
  port: number
  /** Absent: plain text. */
  tls?: DatabaseTls
  /** A pooler that gives a server to one transaction at a time (PgBouncer's transaction mode): nothing may stay behind in the session. */
  pooler: boolean
}

/** DATABASE_URL asks for what cannot be. Programs end with `exitCode`: only another setting helps. */
export class DatabaseUrlInvalid extends Error {
  override readonly name = 'DatabaseUrlInvalid'
  readonly exitCode = 78
}

/** Of libpq and others, without a meaning here. */
const IGNORED = [
  'gssencmode',
  'krbsrvname',
  'keepalives',
  'keepalives_idle',
  'keepalives_interval',
  'keepalives_count',
  'tcp_user_timeout',
  'sslsni',
]
/** They restrict what is accepted; to pass over them would be to accept more than was asked for. */
const UNSUPPORTED = ['sslcrl', 'sslcrldir', 'ssl_min_protocol_version', 'ssl_max_protocol_version', 'require_auth', 'requiressl']
const READ = ['sslmode', 'ssl', 'sslrootcert', 'sslcert', 'sslkey', 'sslpassword', 'sslnegotiation', 'channel_binding', 'pgbouncer']

/** Takes a URL apart. Throws DatabaseUrlInvalid. */
export function readDatabaseUrl(text: string): DatabaseTarget {
  if (!URL.canParse(text)) throw new DatabaseUrlInvalid('DATABASE_URL is not a URL such as postgres://user:password@host:5432/database')
  const url = new URL(text)
  const given = url.searchParams
  const unsupported = UNSUPPORTED.find((name) => given.has(name))
  if (unsupported) throw new DatabaseUrlInvalid(`${unsupported} in DATABASE_URL is not supported: leave it out`)
  const hosts = decodeURIComponent(url.hostname).split(',')
  const tls = hosts[0]!.startsWith('/') ? undefined : readTls(given)
  const pooler = readSwitch(given, 'pgbouncer')
  const ours = [...READ, ...IGNORED].filter((name) => given.has(name))
  for (const name of ours) given.delete(name)
  return { url: ours.length > 0 ? url.href : text, hosts, port: Number(url.port || 5432), pooler, ...(tls && { tls }) }
}

function readTls(given: URLSearchParams): DatabaseTls | undefined {
  const mode = readMode(given)
  if (mode === 'disable') return undefined
  checkBinding(given, mode)
  const files = { caFile: fileOf(given, 'sslrootcert'), certFile: fileOf(given, 'sslcert'), keyFile: fileOf(given, 'sslkey') }
  if ((files.certFile === undefined) !== (files.keyFile === undefined))
    throw new DatabaseUrlInvalid('a client certificate in DATABASE_URL takes both sslcert and sslkey')
  const negotiation = given.get('sslnegotiation') ?? 'postgres'
  if (negotiation !== 'postgres' && negotiation !== 'direct')
    throw new DatabaseUrlInvalid(`sslnegotiation in DATABASE_URL must be postgres or direct, and is ${negotiation}`)
  const keyPassword = given.get('sslpassword') ?? undefined
  return withoutUndefined({
    ...files,
    keyPassword,
    mode: mode === 'allow' ? 'prefer' : mode === 'require' && files.caFile ? 'verify-ca' : mode, // both as libpq does
    direct: negotiation === 'direct',
  })
}

/**
 * libpq's default is `prefer`, which protects from nobody and costs a round trip a connection: nothing said is plain text here. A CA that is
 * named is meant to be asked.
 */
function readMode(given: URLSearchParams): SslMode {
  const alias: Record<string, string> = { true: 'require', '1': 'require', false: 'disable', '0': 'disable' }
  const ssl = given.get('ssl')
  const mode = given.get('sslmode') ?? (ssl === null ? undefined : (alias[ssl] ?? ssl))
  if (mode === undefined) return given.has('sslrootcert') ? 'verify-full' : given.has('sslcert') ? 'require' : 'disable'
  if ((SSL_MODES as readonly string[]).includes(mode)) return mode as SslMode
  throw new DatabaseUrlInvalid(`sslmode in DATABASE_URL must be one of ${SSL_MODES.join(', ')}, and is ${mode}`)
}

/** Channel binding keeps away whoever stands in the middle; so does a certificate that was checked for its host. */
function checkBinding(given: URLSearchParams, mode: SslMode): void {
  if (given.get('channel_binding') !== 'require' || mode === 'verify-full') return
  throw new DatabaseUrlInvalid('channel_binding=require in DATABASE_URL is not supported: leave it out, and use sslmode=verify-full')
}

function fileOf(given: URLSearchParams, name: string): string | undefined {
  const path = given.get(name)
  if (path === null || path === '' || path === 'system') return undefined // `system`: the authorities that Node knows
  try {
    accessSync(path, constants.R_OK)
  } catch (error) {
    throw new DatabaseUrlInvalid(`${name} of DATABASE_URL names ${path}, which cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
  return path
}

function readSwitch(given: URLSearchParams, name: string): boolean {
  const text = given.get(name) ?? 'false'
  if (text === 'true' || text === 'false') return text === 'true'
  throw new DatabaseUrlInvalid(`${name} in DATABASE_URL must be true or false, and is ${text}`)
}

/** The same URL as PostgreSQL's own programs take it: they know nothing of poolers, and their sslmode has another default. */
export function libpqUrl(text: string): string {
  const { tls } = readDatabaseUrl(text)
  const url = new URL(text)
  for (const name of ['pgbouncer', 'ssl']) url.searchParams.delete(name)
  if (tls && !url.searchParams.has('sslmode')) url.searchParams.set('sslmode', tls.mode)
  return url.href
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> }

function withoutUndefined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as Defined<T>
}
