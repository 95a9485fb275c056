/** The version after this one, for a rehearsal of an upgrade: a copy of the sources with another version and a further migration. */
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { ROOT } from './stack.ts'

export const NEXT_VERSION = '99.0.0'
/** What images are built from, and the files of compose. */
const SOURCES = [
  ...['.dockerignore', 'package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml', 'tsconfig.base.json'],
  ...['compose', 'deploy', 'patches', 'packages', 'services', 'examples', 'bench/package.json'],
]
const LEFT_OUT = new Set(['node_modules', 'dist', 'test', '.tap', '.turbo'])
/** What older code has to live with: a column and an index that it knows nothing of on the table that every commit writes, and a new table. */
const MIGRATION = `-- baton: expand
alter table runs add column rehearsed text not null default 'no';
create index runs_rehearsed on runs (namespace, rehearsed) where rehearsed <> 'no';
create table rehearsals (namespace text not null, name text not null, primary key (namespace, name));
`

/** Writes the sources of the next version into an empty folder, and gives the name of its migration. */
export function writeNextVersion(folder: string): string {
  for (const name of SOURCES)
    cpSync(join(ROOT, name), join(folder, name), { recursive: true, filter: (path) => !LEFT_OUT.has(basename(path)) })
  const migrations = join(folder, 'packages/store/migrations')
  const last = readdirSync(migrations).sort().at(-1)!
  const name = `${String(Number(last.slice(0, 4)) + 1).padStart(4, '0')}_rehearsal`
  writeFileSync(join(migrations, `${name}.sql`), MIGRATION)
  const version = join(folder, 'packages/runtime/src/version.ts')
  const source = readFileSync(version, 'utf8')
  const next = source.replace(/VERSION = '[^']*'/, `VERSION = '${NEXT_VERSION}'`)
  if (next === source) throw new Error(`${version} names no VERSION`)
  writeFileSync(version, next)
  return name
}
