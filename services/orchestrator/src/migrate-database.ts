import { type Logger, VERSION } from '@baton/runtime'
import { type MigrateResult, migrate } from '@baton/store'

/** Brings the database up to date and logs each migration that was applied. */
export function migrateDatabase(
  databaseUrl: string,
  how: { expandOnly?: boolean; awayMsMax: number },
  log: Logger,
): Promise<MigrateResult> {
  return migrate(databaseUrl, {
    ...how,
    version: VERSION,
    onApplied: ({ name, kind, durationMs }) => log.info({ migration: name, kind, durationMs }, 'migration applied'),
    onWait: () => log.info('another process migrates the database, waiting for it'),
    onAway: (reason) => log.warn({ reason }, 'the database does not answer, waiting for it'),
    onBusy: (name) => log.warn({ migration: name }, 'migration gives way to running queries and tries again'),
  })
}
