/** The file that a backup of the embedded stack is: `baton-backup.json` and a data folder of PostgreSQL, as tar.gz. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { explainFileError, StackProblem } from './stack-problem.ts'

const MANIFEST = 'baton-backup.json'
const GZIP = Buffer.from([0x1f, 0x8b])
const PG_DUMP = Buffer.from('PGDMP')

/** What a backup says of itself. */
export interface BackupManifest {
  format: 'baton-backup'
  version: 1
  createdAt: string
  /** Data folders fit this major version of PostgreSQL on this kind of machine alone. */
  postgresMajor: string
  platform: string
  /** Tells the master key that secrets need, without giving it away. */
  masterKey: string
}

/** A copied data folder, or a dump of pg_dump in its custom format. */
export type BackupKind = 'folder' | 'dump'

/** What kind of backup the file is; throws StackProblem when it is none or cannot be read. */
export function kindOfBackup(file: string): BackupKind {
  let head: Buffer
  try {
    head = readHead(file)
  } catch (error) {
    throw new StackProblem(`${file} cannot be read (${(error as NodeJS.ErrnoException).code}).`, { cause: error })
  }
  if (head.equals(PG_DUMP)) return 'dump'
  if (head.subarray(0, 2).equals(GZIP)) return 'folder'
  throw new StackProblem(`${file} is no backup of Baton.`)
}

function readHead(file: string): Buffer {
  const fd = openSync(file, 'r')
  try {
    const head = Buffer.alloc(PG_DUMP.length)
    readSync(fd, head, 0, head.length, 0)
    return head
  } finally {
    closeSync(fd)
  }
}

/** A short text that is the same for the same key alone. */
export function fingerprintKey(masterKey: string): string {
  return createHash('sha256').update(`baton backup ${masterKey}`).digest('hex').slice(0, 12)
}

/** The manifest of a data folder that is packed now. */
export function manifestOf(postgresMajor: string, masterKey: string): BackupManifest {
  const platform = `${process.platform}-${process.arch}`
  const createdAt = new Date().toISOString()
  return { format: 'baton-backup', version: 1, createdAt, postgresMajor, platform, masterKey: fingerprintKey(masterKey) }
}

/** Throws StackProblem when the file is there already or cannot be made; makes its folder. */
export function prepareBackupFile(file: string): void {
  if (existsSync(file))
    throw new StackProblem(`${file} is there already; a backup does not overwrite anything. Name another: make backup FILE=…`)
  try {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(`${file}.part`, '', { mode: 0o600 })
  } catch (error) {
    throw explainFileError(error, dirname(file))
  }
}

/** Packs `<work>/data` with its manifest into the file, which appears when it is complete and was read back. */
export function packBackup(work: string, manifest: BackupManifest, file: string): void {
  writeFileSync(join(work, MANIFEST), `${JSON.stringify(manifest, null, 1)}\n`)
  tar(['--create', '--gzip', '--file', `${file}.part`, '--directory', work, MANIFEST, 'data'], `The backup ${file} cannot be written`)
  tar(['--list', '--gzip', '--file', `${file}.part`], `The backup ${file} cannot be read back`)
  finishBackupFile(file)
}

/** Gives a complete backup its name. */
export function finishBackupFile(file: string): void {
  renameSync(`${file}.part`, file)
}

/** The manifest of a backup; throws StackProblem when the file is damaged, or was made for another machine. */
export function readManifest(file: string, postgresMajor: string): BackupManifest {
  const text = tar(['--extract', '--gzip', '--to-stdout', '--file', file, MANIFEST], `${file} is no backup of Baton, or is damaged`)
  tar(['--list', '--gzip', '--file', file], `${file} is damaged`)
  const manifest = JSON.parse(text) as BackupManifest
  const platform = `${process.platform}-${process.arch}`
  if (manifest.postgresMajor !== postgresMajor || manifest.platform !== platform) {
    throw new StackProblem(
      `${file} was made by PostgreSQL ${manifest.postgresMajor} on ${manifest.platform}; this Baton brings PostgreSQL ${postgresMajor} on ${platform}. ` +
        'Restore it where it was made, and move it over with pg_dump.',
    )
  }
  return manifest
}

/** Unpacks the data folder of a backup to `folder`, which must not be there. */
export function unpackBackup(file: string, folder: string): void {
  const work = `${folder}.unpacking`
  rmSync(work, { recursive: true, force: true })
  mkdirSync(work, { recursive: true, mode: 0o700 })
  try {
    tar(['--extract', '--gzip', '--file', file, '--directory', work, '--no-same-owner', 'data'], `${file} cannot be unpacked`)
    renameSync(join(work, 'data'), folder)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** A size as people read it. */
export function sizeOf(file: string): string {
  const bytes = statSync(file).size
  return bytes < 1_000_000 ? `${Math.ceil(bytes / 1_000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`
}

function tar(args: string[], what: string): string {
  const { status, stdout, stderr, error } = spawnSync('tar', args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: { ...process.env, LC_ALL: 'C' },
  })
  if (error) throw new StackProblem(`tar cannot be run: ${error.message}`, { cause: error })
  if (status === 0) return stdout
  throw new StackProblem(`${what}: ${stderr.trim().split('\n')[0] || `tar ended with ${status}`}`)
}
