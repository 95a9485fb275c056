import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { readDotEnv } from './dot-env.ts'
import { SERVICE_NAMES } from './services.ts'
import type { StackPaths } from './stack-paths.ts'
import type { StackSettings } from './stack-settings.ts'

/** A digest of the settings and sources that the services run with: equal digests mean that a running stack need not be started again. */
export function fingerprintStack(paths: StackPaths, settings: StackSettings): string {
  const known = settingsOfServices(paths.root)
  const names = new Set([
    ...Object.keys(readDotEnv(paths.dotEnv)),
    ...Object.keys(settings.values).filter((name) => isSetting(name) || known.has(name)),
  ])
  names.delete('BATON_MODE') // which kind of stack is asked for: that one runs already
  const values = [...names].sort().map((name) => [name, settings.values[name]])
  const { databaseUrl, redisUrl, ownPostgres, ownRedis, host, replicas } = settings
  const sources = [...sourceFolders(paths.root)].flatMap((folder) => listStamps(folder))
  const everything = [process.version, values, databaseUrl, redisUrl, ownPostgres, ownRedis, host, replicas, sources]
  return createHash('sha256').update(JSON.stringify(everything)).digest('hex')
}

/** Every setting that a service reads stands in its config.ts by its name. */
function settingsOfServices(root: string): Set<string> {
  const files = SERVICE_NAMES.map((service) => join(root, 'services', service, 'src', 'config.ts')).filter((file) => existsSync(file))
  return new Set(files.flatMap((file) => readFileSync(file, 'utf8').match(/\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b/g) ?? []))
}

function isSetting(name: string): boolean {
  return /^(BATON_|OTEL_|DATABASE_URL|REDIS_URL|LOG_LEVEL$|HOST$)|_REPLICAS$/.test(name)
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
