import { connect, type Db, findPooler, readDatabaseUrl, readSchemaState, type Sql, TlsRefused } from '@baton/store'
import { byLevel, type Finding, ok, problem, reasonOf, skipped, warning } from './finding.ts'

const VERSION_MIN = 15
const IDLE_MINUTES_MAX = 5
const CORRECT_URL = 'Start it, or correct DATABASE_URL (user, password, host, database).'
const GIVE_DATABASE = 'give DATABASE_URL (or --database-url) to look at it'

interface Settings {
  versionNum: number
  version: string
  fsync: string
  fullPageWrites: string
  synchronousCommit: string
  autovacuum: string
  isReplica: boolean
  used: number
  max: number
  idle: number
}

/** The settings, the schema and the load of Postgres. */
export async function lookAtPostgres(url: string | undefined): Promise<Finding[]> {
  if (url === undefined) return [skipped('postgres', GIVE_DATABASE)]
  try {
    const { pooler, tls } = readDatabaseUrl(url)
    const way = await lookAtWay(url, pooler)
    // Whatever was forgotten: the doctor can always speak as through a pooler.
    return [...way, ...(await lookInside(withPooler(url))), ok('postgres tls', tls ? `sslmode=${tls.mode}` : 'plain text')]
  } catch (error) {
    const fix = error instanceof TlsRefused ? 'Correct sslmode or sslrootcert of DATABASE_URL, or DATABASE_TLS_CA_FILE.' : CORRECT_URL
    return [problem('postgres', `${hostOf(url)} cannot be used: ${reasonOf(error)}`, fix)]
  }
}

async function lookInside(url: string): Promise<Finding[]> {
  return withPool(url, async (sql) => [...judge(await readSettings(sql)), ...(await lookAtSchema(sql)), await lookAtInbox(sql)])
}

/** What stands between the services and Postgres. */
async function lookAtWay(url: string, told: boolean): Promise<Finding[]> {
  if (told) return [ok('postgres pooler', 'used as one in transaction mode')]
  const pooler = await withPool(url, findPooler)
  if (pooler !== 'transaction') return []
  return [
    problem(
      'postgres pooler',
      'DATABASE_URL leads through a pooler in transaction mode, in which prepared statements get lost',
      'DATABASE_POOLER=transaction for all services, or add pgbouncer=true to DATABASE_URL.',
    ),
  ]
}

async function withPool<T>(url: string, action: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = connect(url, { max: 1, applicationName: 'baton-doctor' })
  try {
    return await action(sql)
  } finally {
    await sql.end({ timeout: 1 })
  }
}

function withPooler(url: string): string {
  const whole = new URL(url)
  whole.searchParams.set('pgbouncer', 'true')
  return whole.href
}

async function readSettings(db: Db): Promise<Settings> {
  const [row] = await db<[Settings]>`
    select current_setting('server_version_num')::int as version_num, current_setting('server_version') as version,
           current_setting('fsync') as fsync, current_setting('full_page_writes') as full_page_writes,
           current_setting('synchronous_commit') as synchronous_commit, current_setting('autovacuum') as autovacuum, pg_is_in_recovery() as is_replica,
           (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as used,
           current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as max,
           (select count(*)::int from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'
               and state_change < now() - ${IDLE_MINUTES_MAX} * interval '1 minute') as idle`
  return row
}

function judge(seen: Settings): Finding[] {
  const version = Math.floor(seen.versionNum / 10_000)
  const unsafe = [
    seen.fsync === 'off' && 'fsync',
    seen.fullPageWrites === 'off' && 'full_page_writes',
    seen.synchronousCommit === 'off' && 'synchronous_commit',
  ]
  const off = unsafe.filter((name) => name !== false)
  const used = `${seen.used} of ${seen.max} connections are used`
  const findings = [
    version < VERSION_MIN
      ? problem('postgres version', seen.version, `Upgrade PostgreSQL: ${VERSION_MIN} is the oldest that works.`)
      : ok('postgres version', seen.version),
    off.length > 0
      ? problem(
          'postgres durability',
          `${off.join(', ')} off: what was answered with 2xx can be lost`,
          `${off.map((name) => `alter system set ${name} = on`).join('; ')}; select pg_reload_conf()`,
        )
      : ok('postgres durability', `fsync on, full_page_writes on, synchronous_commit ${seen.synchronousCommit}`),
    byLevel(
      'postgres connections',
      seen.used / seen.max,
      { warnFrom: 0.8, failFrom: 0.95 },
      used,
      'Raise max_connections, put a pooler in between, or lower the *_CONNECTIONS_MAX of the services.',
    ),
  ]
  if (seen.isReplica) findings.push(problem('postgres role', 'it is a standby and takes no writes', 'Let DATABASE_URL name the writer.'))
  if (seen.autovacuum === 'off')
    findings.push(
      warning(
        'postgres autovacuum',
        'off',
        'alter system set autovacuum = on; select pg_reload_conf(): tables and indexes grow without it.',
      ),
    )
  if (seen.idle > 0)
    findings.push(
      warning(
        'postgres transactions',
        `${seen.idle} have been open and idle for over ${IDLE_MINUTES_MAX} minutes`,
        'End them (pg_stat_activity tells whose they are): they keep vacuum and migrations from their work.',
      ),
    )
  return findings
}

async function lookAtSchema(db: Db): Promise<Finding[]> {
  const { applied, missing, contracts, breaking, unknown } = await readSchemaState(db)
  const newest = applied.at(-1)?.name ?? 'empty'
  const command = 'make migrate, or node app/migrate.js in an image of the orchestrator'
  if (breaking)
    return [
      problem(
        'schema',
        `${breaking.name} is for newer code than this`,
        'Run the baton of the version that migrated the database, and its services.',
      ),
    ]
  const findings = [
    missing.length > 0 ? problem('schema', `${newest}; it lacks ${missing.join(', ')}`, `Migrate: ${command}.`) : ok('schema', newest),
  ]
  if (contracts.length > 0)
    findings.push(warning('migrations', `${contracts.join(', ')} wait until no older replica runs`, `Then: ${command}.`))
  if (unknown.length > 0)
    findings.push(
      warning(
        'migrations',
        `${unknown.join(', ')} are of a newer version`,
        'Use the baton of that version once all services are upgraded.',
      ),
    )
  if (missing.length === 0) findings.push(await lookAtPartitions(db))
  return findings
}

async function lookAtPartitions(db: Db): Promise<Finding> {
  const [row] = await db<[{ name: string; found: string | null }]>`
    select name, to_regclass(name)::text as found from (select 'run_events_' || to_char(now() at time zone 'UTC' + interval '1 month', 'YYYYMM') as name) as next`
  if (row.found) return ok('partitions', `${row.name} is there`)
  return warning(
    'partitions',
    `${row.name} is missing`,
    'A workflow-runner makes it once a day: see that one runs; make migrate makes it too.',
  )
}

/** Facts that somebody was told are accepted, and no runner has applied. */
async function lookAtInbox(db: Db): Promise<Finding> {
  const [exists] = await db`select to_regclass('inbox') as name`
  if (!exists?.['name']) return skipped('inbox', 'there is no schema yet')
  const [row] = await db<[{ facts: number; seconds: number }]>`
    select count(*)::int as facts, coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float as seconds
      from (select i.created_at from inbox i join runs r on r.id = i.run_id where r.status <> 'paused' order by i.id limit 10000) as oldest`
  const found = row.facts === 0 ? 'no accepted fact waits' : `${row.facts} accepted facts wait, the oldest for ${row.seconds.toFixed(0)} s`
  return byLevel('inbox', row.seconds, { warnFrom: 10, failFrom: 60 }, found, 'See that a workflow-runner runs, and what its log says.')
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : 'DATABASE_URL'
}
