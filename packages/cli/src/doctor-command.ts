/** `baton doctor`: looks at a deployment and says what to fix. */
import type { Command } from 'commander'
import { type ConnectionFlags, findConnection } from './connection.ts'
import { type Finding, problem } from './doctor/finding.ts'
import { lookAtApi } from './doctor/look-at-api.ts'
import { lookAtClocks } from './doctor/look-at-clocks.ts'
import { lookAtPostgres } from './doctor/look-at-postgres.ts'
import { lookAtRedis } from './doctor/look-at-redis.ts'
import { lookAtSecrets, readSetting } from './doctor/look-at-secrets.ts'
import { PartlyFailed, UsageError } from './exit-codes.ts'
import { createPaint, type Paint } from './table.ts'
import type { Terminal } from './terminal.ts'

type Flags = ConnectionFlags & { json?: boolean; databaseUrl?: string; redisUrl?: string }

const MARKS = { ok: 'ok', warning: 'warning', problem: 'PROBLEM', skipped: '–' } as const
const STYLES = { ok: 'green', warning: 'yellow', problem: 'red', skipped: 'dim' } as const

/** Adds the command. */
export function addDoctorCommand(program: Command, terminal: Terminal): void {
  program
    .command('doctor')
    .description('check a deployment, and say for each problem what to fix; exit code 1 when there is one')
    .option('--database-url <url>', 'of its Postgres (DATABASE_URL), to look at it too')
    .option('--redis-url <url>', 'of its Redis (REDIS_URL), to look at it too')
    .action(async (_options: unknown, command: Command) => {
      const flags = command.optsWithGlobals<Flags>()
      const findings = await examine(flags, terminal)
      const problems = findings.filter(({ status }) => status === 'problem').length
      const warnings = findings.filter(({ status }) => status === 'warning').length
      if (flags.json) terminal.out(`${JSON.stringify({ healthy: problems === 0, problems, warnings, findings })}\n`)
      else terminal.out(format(findings, createPaint(terminal.isTty && !terminal.env['NO_COLOR'])))
      if (problems > 0) throw new PartlyFailed()
    })
}

/** Everything is looked at, whatever else is broken: one run of the doctor names all there is to fix. */
async function examine(flags: Flags, terminal: Terminal): Promise<Finding[]> {
  const databaseUrl = withDatabaseSettings(flags.databaseUrl ?? readSetting(terminal.env, 'DATABASE_URL'), terminal.env)
  const redisUrl = flags.redisUrl ?? readSetting(terminal.env, 'REDIS_URL')
  const found = await Promise.all([
    findConnection(flags, terminal).then(lookAtApi, explainNoKey),
    lookAtPostgres(databaseUrl),
    lookAtRedis(redisUrl),
    lookAtClocks(databaseUrl, redisUrl),
    lookAtSecrets(terminal.env, databaseUrl, redisUrl),
  ])
  return found.flat()
}

/** The settings that the services read beside the URL. */
function withDatabaseSettings(url: string | undefined, env: Terminal['env']): string | undefined {
  if (url === undefined || !URL.canParse(url)) return url
  const whole = new URL(url)
  const ca = readSetting(env, 'DATABASE_TLS_CA_FILE')
  if (readSetting(env, 'DATABASE_POOLER') === 'transaction') whole.searchParams.set('pgbouncer', 'true')
  if (ca && !whole.searchParams.has('sslrootcert')) whole.searchParams.set('sslrootcert', ca)
  return whole.href
}

function explainNoKey(error: unknown): Finding[] {
  if (error instanceof UsageError) return [problem('api', error.message, 'Then run baton doctor again.')]
  throw error
}

function format(findings: readonly Finding[], paint: Paint): string {
  const width = Math.max(...findings.map(({ check }) => check.length))
  const lines = findings.map(({ check, status, found, fix }) => {
    const line = `${paint(STYLES[status], MARKS[status].padEnd(8))}${check.padEnd(width)}  ${found}\n`
    return fix === undefined || status === 'ok' ? line : `${line}${' '.repeat(width + 10)}→ ${fix}\n`
  })
  const count = (status: Finding['status']) => findings.filter((finding) => finding.status === status).length
  return `${lines.join('')}\n${count('ok')} well, ${count('warning')} warnings, ${count('problem')} problems, ${count('skipped')} not looked at\n`
}
