/**
 * Brings the database up to date and ends; for a job before the services start: `node app/migrate.js` in the image of the orchestrator, `make migrate`
 * in the checkout. `--expand` leaves what older code still uses; `--status` changes nothing and ends with 75 when something is missing.
 */
import { commonSettings, createLogger, databaseSettings, directUrl, directUrlOf, type Logger, loadSettings } from '@baton/runtime'
import { connect, readSchemaState, refuseTooNew } from '@baton/store'
import { z } from 'zod'
import { migrateAwayMsMax } from './config.ts'
import { migrateDatabase } from './migrate-database.ts'

const EXIT = { failed: 1, usage: 2, missing: 75 }

async function main(args: readonly string[], log: Logger, databaseUrl: string, awayMsMax: number): Promise<number> {
  const unknown = args.find((arg) => arg !== '--expand' && arg !== '--status')
  if (unknown !== undefined) {
    process.stderr.write(`there is no ${unknown}; migrate takes --expand or --status\n`)
    return EXIT.usage
  }
  if (args.includes('--status')) return showStatus(databaseUrl, log)
  const { applied, left } = await migrateDatabase(databaseUrl, { expandOnly: args.includes('--expand'), awayMsMax }, log)
  log.info({ applied, left }, left.length > 0 ? 'database expanded, the rest waits for migrate without --expand' : 'database is up to date')
  return 0
}

async function showStatus(databaseUrl: string, log: Logger): Promise<number> {
  const sql = connect(databaseUrl, { max: 1, applicationName: 'baton-migrate' })
  try {
    const state = await readSchemaState(sql)
    refuseTooNew(state)
    const { applied, missing, contracts, unknown } = state
    log.info(
      { applied: applied.length, missing, contracts, unknown },
      missing.length > 0 ? 'database lacks migrations' : 'database is up to date',
    )
    return missing.length > 0 ? EXIT.missing : 0
  } finally {
    await sql.end({ timeout: 5 })
  }
}

const Settings = z.object({
  ...databaseSettings,
  DATABASE_DIRECT_URL: directUrl,
  LOG_LEVEL: commonSettings.LOG_LEVEL,
  BATON_MIGRATE_AWAY_MS_MAX: migrateAwayMsMax,
})
const settings = loadSettings(Settings)
const log = createLogger({ name: 'migrate', level: settings.LOG_LEVEL })
try {
  process.exitCode = await main(process.argv.slice(2), log, directUrlOf(settings), settings.BATON_MIGRATE_AWAY_MS_MAX)
} catch (err) {
  const { exitCode, message } = err as { exitCode?: number; message: string }
  if (exitCode === undefined) log.fatal({ err }, 'database could not be migrated')
  else log.fatal(message)
  process.exitCode = exitCode ?? EXIT.failed
}
