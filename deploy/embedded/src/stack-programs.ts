import { join } from 'node:path'
import { postgresProgram } from './postgres.ts'
import type { Program } from './program.ts'
import { redisProgram } from './redis.ts'
import { findRedisServer } from './redis-binary.ts'
import { SERVICES, type ServiceName } from './services.ts'
import type { StackPaths } from './stack-paths.ts'
import { StackProblem } from './stack-problem.ts'
import type { StackSettings } from './stack-settings.ts'

/** The PostgreSQL of the stack, on the port, user and password of its URL. */
export function stackPostgres(
  paths: StackPaths,
  settings: StackSettings,
  say: (sentence: string) => void,
): ReturnType<typeof postgresProgram> {
  const url = new URL(settings.databaseUrl)
  const { username: user } = url
  return postgresProgram({ dataDir: paths.postgres, port: Number(url.port), user, password: decodeURIComponent(url.password), say })
}

/** The Redis of the stack; throws StackProblem when the redis-server that was there is gone. */
export function stackRedis(paths: StackPaths, settings: StackSettings): Program {
  const command = findRedisServer(paths.redisPrograms)
  if (!command) throw new StackProblem('redis-server is gone from this machine: run make up again to bring it.')
  const url = new URL(settings.redisUrl)
  return redisProgram({ command, dataDir: paths.redis, port: Number(url.port), password: decodeURIComponent(url.password) })
}

/** A replica of a service: its program, and where it listens (the first on the service's port, further ones on free ports: 0). */
export type Replica = { program: Program; service: ServiceName; port: number }

/** The replicas of a service as programs; `watch` starts them again whenever their source changes. */
export function serviceReplicas(paths: StackPaths, settings: StackSettings, service: ServiceName, watch = false): Replica[] {
  return Array.from({ length: settings.replicas[service] }, (_, index) => {
    const name = index === 0 ? service : `${service}-${index + 1}`
    const port = index === 0 ? SERVICES[service] + settings.portOffset : 0
    const entry = join('services', service, 'src', 'main.ts')
    const flags = ['--conditions=@baton/source', ...(watch ? ['--watch', '--watch-preserve-output'] : [])]
    const program: Program = {
      name,
      command: process.execPath,
      args: [...flags, entry],
      cwd: paths.root,
      env: { ...settings.values, PORT: String(port), HOST: settings.host, NODE_COMPILE_CACHE: paths.compileCache },
      stopSignal: 'SIGTERM',
      isReady: async () => port === 0 || (await probe(settings.host, port, '/health')).status === 200,
    }
    return { program, service, port }
  })
}

/** Asks a probe of a service; status 0 when nothing answers within 3 s. */
export async function probe(host: string, port: number, path: string): Promise<{ status: number; body: string }> {
  try {
    const response = await fetch(`http://${reachable(host)}:${port}${path}`, { signal: AbortSignal.timeout(3_000) })
    return { status: response.status, body: await response.text() }
  } catch {
    return { status: 0, body: '' }
  }
}

/** The address to ask for a service that listens on `host`. */
export function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}
