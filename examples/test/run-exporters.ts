/** The exporters of Postgres and Redis as compose/compose.yaml starts them, on the servers of a test. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { endProcess, findFreePort, guardProcess, type Teardown, until } from '@baton/testing'
import { parseDocument } from 'yaml'
import { read } from './deploy-settings.ts'

/** By their names in Debian and from their makers. */
const PROGRAMS = {
  'postgres-exporter': ['prometheus-postgres-exporter', 'postgres_exporter'],
  'redis-exporter': ['prometheus-redis-exporter', 'redis_exporter'],
} as const
type Exporter = keyof typeof PROGRAMS

const programOf = (exporter: Exporter) =>
  PROGRAMS[exporter].find((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0)

/** False where one of them is not installed. */
export function hasExporters(): boolean {
  return (Object.keys(PROGRAMS) as Exporter[]).every((exporter) => programOf(exporter) !== undefined)
}

/** Starts both; they end with the test. Gives host:port by the name of the job. */
export async function startExporters(t: Teardown, servers: { databaseUrl: string; redisUrl: string }): Promise<Record<Exporter, string[]>> {
  const directory = mkdtempSync(join(tmpdir(), 'baton-exporters-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const secret = (name: string, value: string) => {
    writeFileSync(join(directory, name), value, { mode: 0o600 })
    return join(directory, name)
  }
  const [database, redis] = [new URL(servers.databaseUrl), new URL(servers.redisUrl)]
  const password = decodeURIComponent(database.password)
  const [address, port] = [`redis://${redis.host}`, String(await findFreePort())]
  return {
    'postgres-exporter': await start(t, directory, 'postgres-exporter', {
      DATA_SOURCE_URI: `${database.host}${database.pathname}?sslmode=disable`,
      DATA_SOURCE_USER: decodeURIComponent(database.username),
      DATA_SOURCE_PASS_FILE: secret('postgres_password', password || 'unused'),
    }),
    'redis-exporter': await start(
      t,
      directory,
      'redis-exporter',
      {
        REDIS_ADDR: address,
        REDIS_PASSWORD_FILE: secret('redis_exporter_passwords', JSON.stringify({ [address]: decodeURIComponent(redis.password) })),
        REDIS_EXPORTER_WEB_LISTEN_ADDRESS: `127.0.0.1:${port}`,
      },
      port,
    ),
  }
}

async function start(t: Teardown, directory: string, exporter: Exporter, env: Record<string, string>, given?: string): Promise<string[]> {
  const { services } = parseDocument(read('compose/compose.yaml'), { merge: true }).toJS() as {
    services: Record<string, { environment: Record<string, string> }>
  }
  const unknown = Object.keys(services[exporter]!.environment).filter((name) => !(name in env))
  if (unknown.length > 0) throw new Error(`compose.yaml gives ${exporter} also ${unknown.join(', ')}`)
  const port = given ?? String(await findFreePort())
  const args = given ? [] : [`--web.listen-address=127.0.0.1:${port}`]
  const child = spawn(programOf(exporter)!, args, { env: { PATH: process.env['PATH'], ...env }, stdio: ['ignore', 'ignore', 'inherit'] })
  const unguard = guardProcess(child.pid!, directory)
  t.teardown(async () => {
    await endProcess(child, 'SIGTERM')
    unguard()
  })
  const answers = async () => (await fetch(`http://127.0.0.1:${port}/metrics`).catch(() => null))?.ok === true
  await until(answers, { timeoutMs: 20_000, what: exporter })
  return [`127.0.0.1:${port}`]
}
