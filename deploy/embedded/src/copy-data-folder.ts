import { constants, copyFileSync, type Dirent, lstatSync, mkdirSync, readdirSync, readlinkSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'

/** What a PostgreSQL makes again at its start, and what belongs to the running server alone; their folders stay, empty. */
const EMPTIED = new Set(['pg_replslot', 'pg_dynshmem', 'pg_notify', 'pg_serial', 'pg_snapshots', 'pg_stat_tmp', 'pg_subtrans'])
/** The note of the password is left out, so that a restored folder gets that of its .env. */
const LEFT_OUT = /^(postmaster\.(pid|opts)|pg_internal\.init.*|pgsql_tmp.*|baton-password\.sha256|backup_label|tablespace_map)$/
const SEGMENT = /^[0-9A-F]{24}$/

/** Copies a data folder; of its log (`pg_wal`) only the files that `wants` names. Files that vanish meanwhile are not needed. */
export function copyDataFolder(from: string, to: string, wants: (segment: string) => boolean): void {
  mkdirSync(to, { recursive: true, mode: 0o700 })
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (LEFT_OUT.test(entry.name)) continue
    if (EMPTIED.has(entry.name)) mkdirSync(join(to, entry.name), { mode: 0o700 })
    else if (entry.name === 'pg_wal') copyLog(join(from, entry.name), join(to, entry.name), wants)
    else copyEntry(entry, from, to)
  }
}

/** Copies the wanted pieces of the log, and its history. */
export function copyLog(from: string, to: string, wants: (segment: string) => boolean): void {
  mkdirSync(join(to, 'archive_status'), { recursive: true, mode: 0o700 })
  mkdirSync(join(to, 'summaries'), { recursive: true, mode: 0o700 })
  for (const name of readdirSync(from)) {
    if (SEGMENT.test(name) ? wants(name) : name.endsWith('.history')) copyFileSync(join(from, name), join(to, name))
  }
}

function copyEntry(entry: Dirent, from: string, to: string): void {
  const [source, target] = [join(from, entry.name), join(to, entry.name)]
  try {
    if (entry.isSymbolicLink()) symlinkSync(readlinkSync(source), target)
    else if (entry.isDirectory()) copyTree(source, target)
    else if (entry.isFile()) copyFileSync(source, target, constants.COPYFILE_FICLONE)
  } catch (error) {
    const gone = (error as NodeJS.ErrnoException).code === 'ENOENT' && !lstatSync(source, { throwIfNoEntry: false })
    if (!gone) throw error
  }
}

function copyTree(from: string, to: string): void {
  mkdirSync(to, { recursive: true, mode: 0o700 })
  for (const entry of readdirSync(from, { withFileTypes: true })) if (!LEFT_OUT.test(entry.name)) copyEntry(entry, from, to)
}
