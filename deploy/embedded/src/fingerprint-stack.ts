import { createHash } from 'node:crypto'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { readDotEnv } from './dot-env.ts'
import type { StackPaths } from './stack-paths.ts'
import type { StackSettings } from './stack-settings.ts'

/** A digest of the settings and sources that the services run with: equal digests mean that a running stack need not be started again. */
export function fingerprintStack(paths: StackPaths, settings: StackSettings): string {
  const names = new Set([...Object.keys(readDotEnv(paths.dotEnv)), ...Object.keys(settings.values).filter(isSetting)])
  const values = [...names].sort().map((name) => [name, settings.values[name]])
  const { databaseUrl, redisUrl, ownPostgres, ownRedis, host, replicas } = settings
  const sources = [...sourceFolders(paths.root)].flatMap((folder) => listStamps(folder))
  const everything = [process.version, values, databaseUrl, redisUrl, ownPostgres, ownRedis, host, replicas, sources]
  return createHash('sha256').update(JSON.stringify(everything)).digest('hex')
}

function isSetting(name: string): boolean {
  return /^(BATON_|DATABASE_URL|REDIS_URL|LOG_LEVEL$|HOST$)|_REPLICAS$/.test(name)
}

function* sourceFolders(root: string): Generator<string> {
  for (const group of ['packages', 'services']) {
    if (!existsSync(join(root, group))) continue
    for (const name of readdirSync(join(root, group))) {
      yield join(root, group, name, 'src')
      yield join(root, group, name, 'migrations')
    }
  }
}

function listStamps(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => `${name} ${statSync(join(folder, name)).mtimeMs}`)
}
