import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres as startEmbedded } from '@baton/embedded'
import { guardProcess } from './guard-process.ts'

/** A PostgreSQL server of our own. `url` names its maintenance database; `stop` ends it and removes its data. */
export interface PostgresServer {
  url: string
  port: number
  stop(): Promise<void>
}

/**
 * Starts the PostgreSQL of the embedded stack on a free port of 127.0.0.1, with its data in a temporary folder. It dies with this process.
 * `durable` keeps fsync on; tests that judge no durability are faster without.
 */
export async function startPostgres(options: { durable?: boolean; settings?: Record<string, string> } = {}): Promise<PostgresServer> {
  const directory = mkdtempSync(join(tmpdir(), 'baton-postgres-'))
  chmodSync(directory, 0o755) // as root the server runs as another user, who has to enter it
  const settings = { max_connections: '300', max_wal_size: '4GB', ...options.settings }
  const server = await startSomewhere({ dataDir: join(directory, 'data'), durable: options.durable ?? false, settings })
  const unguard = guardProcess(server.pid, directory)
  return {
    url: server.url,
    port: server.port,
    async stop() {
      await server.stop({ remove: true })
      unguard()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** A port that was free may be taken before the server listens: then another one is tried. */
async function startSomewhere(options: Parameters<typeof startEmbedded>[0]): ReturnType<typeof startEmbedded> {
  for (let triesLeft = 4; ; triesLeft--) {
    try {
      return await startEmbedded(options)
    } catch (error) {
      if (triesLeft === 0) throw error
    }
  }
}
