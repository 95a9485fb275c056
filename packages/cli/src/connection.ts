/** Where Baton is and with which key: from flags, the environment, `baton login`, or the `.env` of the checkout one stands in. */
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseEnv } from 'node:util'
import { UsageError } from './exit-codes.ts'
import type { Terminal } from './terminal.ts'

/** What `createClient` needs. */
export interface Connection {
  url: string
  key: string
  fanoutUrl?: string
  namespace?: string
}

/** Flags that every command takes. */
export interface ConnectionFlags {
  url?: string
  key?: string
  fanoutUrl?: string
  namespace?: string
}

type Source = Partial<Connection>

const ORCHESTRATOR_PORT = 8081

/** Finds the connection. The first source that knows a value wins; a `.env` counts only for those who never logged in. */
export async function findConnection(flags: ConnectionFlags, terminal: Terminal): Promise<Connection> {
  const stored = await readStored(terminal)
  const sources: Source[] = [flags, fromEnvironment(terminal.env), stored]
  if (stored.key === undefined) sources.push(await fromCheckout(terminal))
  const connection = Object.assign({}, ...sources.reverse().map(withoutEmpty)) as Source
  if (connection.key === undefined) {
    throw new UsageError('no API key: run `baton login`, set BATON_KEY, or stand in the folder whose `.env` has it')
  }
  const { url = `http://localhost:${ORCHESTRATOR_PORT + Number(terminal.env['BATON_PORT_OFFSET'] ?? 0)}`, key, ...rest } = connection
  if (!URL.canParse(url)) throw new UsageError(`not a URL: ${url}`)
  return { url, key, ...rest }
}

/** The file that `baton login` writes. */
export function configPath(env: NodeJS.ProcessEnv): string {
  return join(env['XDG_CONFIG_HOME'] || join(env['HOME'] || homedir(), '.config'), 'baton', 'config.json')
}

/** Stores a connection for later commands; only its owner may read it. */
export async function storeConnection(connection: Connection, terminal: Terminal): Promise<string> {
  const path = configPath(terminal.env)
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const half = `${path}.${process.pid}`
  await writeFile(half, `${JSON.stringify(connection, null, 2)}\n`, { mode: 0o600 })
  await chmod(half, 0o600)
  await rename(half, path)
  return path
}

async function readStored(terminal: Terminal): Promise<Source> {
  const path = configPath(terminal.env)
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined) return {}
  try {
    return JSON.parse(text) as Source
  } catch {
    throw new UsageError(`${path} is not JSON: run \`baton login\` again`)
  }
}

function fromEnvironment(env: NodeJS.ProcessEnv): Source {
  return withoutEmpty({
    url: env['BATON_URL'],
    key: env['BATON_KEY'] || env['BATON_ADMIN_KEY'],
    fanoutUrl: env['BATON_FANOUT_URL'],
    namespace: env['BATON_NAMESPACE'],
  })
}

/** `make up` writes a `.env` into the checkout; it is found from any folder below. */
async function fromCheckout(terminal: Terminal): Promise<Source> {
  for (let folder = terminal.cwd; ; folder = dirname(folder)) {
    const text = await readFile(join(folder, '.env'), 'utf8').catch(() => undefined)
    const env = text === undefined ? {} : (parseEnv(text) as NodeJS.ProcessEnv)
    if (env['BATON_ADMIN_KEY'] || env['BATON_KEY']) {
      const offset = Number(terminal.env['BATON_PORT_OFFSET'] ?? env['BATON_PORT_OFFSET'] ?? 0)
      return { url: `http://localhost:${ORCHESTRATOR_PORT + offset}`, ...fromEnvironment(env) }
    }
    if (folder === dirname(folder)) return {}
  }
}

function withoutEmpty(source: { [Name in keyof Connection]?: string | undefined }): Source {
  return Object.fromEntries(Object.entries(source).filter(([, value]) => value !== undefined && value !== '')) as Source
}
