/** The migrations that this version of the code brings, in `migrations/NNNN_name.sql`; README.md says how one is written. */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const FOLDER = fileURLToPath(new URL('../migrations/', import.meta.url))
const FILE = /^(\d{4})_[a-z0-9_]+\.sql$/
const DECLARATION = /^-- baton: (?:expand|contract, needs (\d{4}))\n/
/** It makes the first tables, was written before migrations had to declare anything, and is not edited any more. */
const FIRST = '0001_baton'

/** `expand`: code that does not know it goes on working. `contract`: it takes something away that older code uses. */
export type MigrationKind = 'expand' | 'contract'

/** One file. `needs` is the number of the migration that code has to know at least to run after this one; 0: any code may. */
export interface Migration {
  name: string
  number: number
  kind: MigrationKind
  needs: number
  checksum: string
  text: string
}

/** A migration file does not say what it is, or contradicts itself or another. */
export class MigrationInvalid extends Error {
  override readonly name = 'MigrationInvalid'
}

/** Every migration in the order of its number. Throws MigrationInvalid. */
export async function readMigrations(folder = FOLDER): Promise<Migration[]> {
  const files = (await readdir(folder)).filter((file) => FILE.test(file)).sort()
  const migrations = await Promise.all(files.map(async (file) => parseMigration(file, await readFile(join(folder, file), 'utf8'))))
  const twice = migrations.find(({ number }, index) => migrations[index - 1]?.number === number)
  if (twice) throw new MigrationInvalid(`two migrations have the number of ${twice.name}: give the newer one the next number`)
  return migrations
}

/** The number of the newest migration: what a migration's `needs` is compared with. */
export function levelOf(migrations: readonly Migration[]): number {
  return migrations.at(-1)?.number ?? 0
}

function parseMigration(file: string, text: string): Migration {
  const name = file.replace(/\.sql$/, '')
  const number = Number.parseInt(name, 10)
  const declared = DECLARATION.exec(text)
  if (!declared && name !== FIRST) {
    throw new MigrationInvalid(`${file} must begin with the line "-- baton: expand" or "-- baton: contract, needs NNNN"`)
  }
  const needs = Number(declared?.[1] ?? 0)
  if (needs > number) throw new MigrationInvalid(`${file} needs ${declared?.[1]}, which is newer than itself`)
  const kind = declared?.[1] === undefined ? 'expand' : 'contract'
  return { name, number, kind, needs, checksum: createHash('sha256').update(text).digest('hex'), text }
}
