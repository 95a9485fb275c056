import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { StackProblem } from './stack-problem.ts'
import type { StackSettings } from './stack-settings.ts'

/** The parts of the store that are of use before there is a stack. */
interface Store {
  connect(url: string, options: { max: number }): import('postgres').Sql
  readDatabaseUrl(url: string): { pooler: boolean }
  libpqUrl(url: string): string
}

/** By its place: the store depends on this package for its tests, so there is no cycle in the workspace. */
export async function loadStore(): Promise<Pick<Store, 'connect'> & Pick<Store, 'readDatabaseUrl' | 'libpqUrl'>> {
  const store = join(import.meta.dirname, '../../../packages/store/src')
  const [connecting, reading] = await Promise.all(
    ['connect.ts', 'database-url.ts'].map((file) => import(pathToFileURL(join(store, file)).href)),
  )
  return { connect: connecting.connect, readDatabaseUrl: reading.readDatabaseUrl, libpqUrl: reading.libpqUrl }
}

/** DATABASE_URL with what stands in DATABASE_POOLER and DATABASE_TLS_CA_FILE, as the services read them. */
export function wholeDatabaseUrl({ databaseUrl, values, ownPostgres }: StackSettings, url = databaseUrl): string {
  if (ownPostgres || !URL.canParse(url)) return url
  const whole = new URL(url)
  const { DATABASE_POOLER: pooler, DATABASE_TLS_CA_FILE: ca } = values
  if (pooler === 'transaction' && url === databaseUrl) whole.searchParams.set('pgbouncer', 'true')
  if (ca && !whole.searchParams.has('sslrootcert')) whole.searchParams.set('sslrootcert', ca)
  return whole.search === new URL(url).search ? url : whole.href
}

/**
 * The URL for psql, pg_dump and pg_restore: that of the server itself. They change settings of their session, which a pooler in transaction mode
 * would hand on to the services (pg_dump empties search_path): so it is refused without DATABASE_DIRECT_URL.
 */
export async function toolsUrl(settings: StackSettings): Promise<URL> {
  const { libpqUrl, readDatabaseUrl } = await loadStore()
  const direct = settings.ownPostgres ? undefined : settings.values['DATABASE_DIRECT_URL']
  const url = wholeDatabaseUrl(settings, direct || settings.databaseUrl)
  if (readDatabaseUrl(url).pooler)
    throw new StackProblem(
      'DATABASE_URL leads through a pooler in transaction mode, which the programs of PostgreSQL would disturb: ' +
        'name the server itself in DATABASE_DIRECT_URL.',
    )
  return new URL(libpqUrl(url))
}
