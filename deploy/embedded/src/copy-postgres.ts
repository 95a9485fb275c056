import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import postgres from 'postgres'
import { manifestOf, packBackup } from './backup-archive.ts'
import { copyDataFolder, copyLog } from './copy-data-folder.ts'
import { StackProblem } from './stack-problem.ts'

/** Which data folder to back up, where to, and how to reach its server; `databaseUrl` absent: no server runs on it. */
export interface CopyRequest {
  dataDir: string
  file: string
  masterKey: string
  databaseUrl?: string
}

/** Backs a data folder up into the file, also while its PostgreSQL runs and is written to. Needs room for a second copy meanwhile. */
export async function copyPostgres({ dataDir, file, masterKey, databaseUrl }: CopyRequest): Promise<void> {
  const major = readFileSync(join(dataDir, 'PG_VERSION'), 'utf8').trim()
  const work = mkdtempSync(`${file}.work-`)
  try {
    if (databaseUrl === undefined) copyDataFolder(dataDir, join(work, 'data'), () => true)
    else await copyRunning(databaseUrl, dataDir, join(work, 'data'))
    packBackup(work, manifestOf(major, masterKey), file)
  } finally {
    rmSync(work, { recursive: true, force: true })
    rmSync(`${file}.part`, { force: true })
  }
}

/**
 * PostgreSQL's own way of copying the files of a running server ("Making a Base Backup Using the Low Level API"): between start and stop of
 * the backup the files may be copied in any order, and the log that was written meanwhile makes them consistent. A slot keeps that log.
 */
async function copyRunning(databaseUrl: string, from: string, to: string): Promise<void> {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {}, idle_timeout: 0, max_lifetime: null })
  try {
    await sql`select pg_create_physical_replication_slot(${`baton_backup_${process.pid}`}, true, true)`
    const [begun] = await sql`select pg_walfile_name(pg_backup_start('baton backup', fast => true)) as segment`
    copyDataFolder(from, to, () => false)
    const [ended] = await sql`select pg_walfile_name(lsn) as segment, labelfile, spcmapfile from pg_backup_stop(wait_for_archive => false)`
    copyLog(join(from, 'pg_wal'), join(to, 'pg_wal'), (segment) => segment >= begun!['segment'] && segment <= ended!['segment'])
    writeFileSync(join(to, 'backup_label'), ended!['labelfile'], { mode: 0o600 })
    if (ended!['spcmapfile']) writeFileSync(join(to, 'tablespace_map'), ended!['spcmapfile'], { mode: 0o600 })
  } catch (error) {
    throw new StackProblem(`PostgreSQL cannot be backed up: ${(error as Error).message}`, { cause: error })
  } finally {
    await sql.end({ timeout: 5 })
  }
}
