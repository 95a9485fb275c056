import { statfsSync } from 'node:fs'
import { connect } from 'node:net'
import { isPortFree, whoListens } from './ports.ts'
import type { ServiceName } from './services.ts'
import { namesSeveral } from './several-redis.ts'
import type { StackPaths } from './stack-paths.ts'
import { diskFullSentence, StackProblem } from './stack-problem.ts'
import { serviceReplicas } from './stack-programs.ts'
import type { StackSettings } from './stack-settings.ts'
import { loadStore, wholeDatabaseUrl } from './tools-url.ts'

/** PostgreSQL needs some 60 MB for an empty database and 16 MB for each piece of its log before it does anything. */
const FREE_BYTES_MIN = 200 * 1024 * 1024

/** Throws StackProblem when the disk below .local has too little room to start on. */
export function checkDisk(paths: StackPaths): void {
  const { bavail, bsize } = statfsSync(paths.local)
  if (bavail * bsize < FREE_BYTES_MIN) throw new StackProblem(diskFullSentence(paths.local))
}

/** Throws StackProblem naming every port that somebody else has, who it is, and the setting that moves ours. */
export async function checkPorts(paths: StackPaths, settings: StackSettings, services: readonly ServiceName[]): Promise<void> {
  const wanted = services.flatMap((service) =>
    serviceReplicas(paths, settings, service).map(({ program, port }) => ({ name: program.name, port, host: settings.host })),
  )
  if (settings.ownPostgres) wanted.push({ name: 'PostgreSQL', port: Number(new URL(settings.databaseUrl).port), host: '127.0.0.1' })
  if (settings.ownRedis) wanted.push({ name: 'Redis', port: Number(new URL(settings.redisUrl).port), host: '127.0.0.1' })
  const taken: string[] = []
  for (const { name, port, host } of wanted.filter(({ port }) => port !== 0)) {
    if (await isPortFree(port, host)) continue
    const holder = whoListens(port)
    taken.push(`port ${port} (${name}) is in use${holder ? ` by pid ${holder.pid}: ${holder.command}` : ''}`)
  }
  if (taken.length === 0) return
  const offset = settings.portOffset + 100
  throw new StackProblem(
    `${capital(taken.join('; '))}. End that program, or move all ports of the stack: BATON_PORT_OFFSET=${offset} make up`,
  )
}

/** Throws StackProblem when a server that the user named does not answer. */
export async function checkGivenServers(settings: StackSettings): Promise<void> {
  if (!settings.ownPostgres) await checkGivenPostgres(wholeDatabaseUrl(settings))
  if (!settings.ownRedis) await checkGivenRedis(settings.redisUrl)
}

async function checkGivenPostgres(url: string): Promise<void> {
  if (!URL.canParse(url)) throw new StackProblem('DATABASE_URL is not a URL such as postgres://user:password@host:5432/baton.')
  const { connect } = await loadStore()
  let sql: ReturnType<typeof connect> | undefined
  try {
    sql = connect(url, { max: 1 })
    await sql`select 1`
  } catch (error) {
    throw new StackProblem(`The PostgreSQL of DATABASE_URL (${new URL(url).host}) cannot be used: ${said(error)}`, { cause: error })
  } finally {
    await sql?.end({ timeout: 1 })
  }
}

async function checkGivenRedis(url: string): Promise<void> {
  if (namesSeveral(url)) return // each service says at its start, and in /ready, what is wrong with them
  if (!URL.canParse(url)) throw new StackProblem('REDIS_URL is not a URL such as redis://:password@host:6379/0.')
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 6379) })
  try {
    await new Promise<void>((resolve, reject) => {
      socket.setTimeout(10_000, () => reject(new Error('no answer within 10 s')))
      socket.once('connect', resolve).once('error', reject)
    })
  } catch (error) {
    throw new StackProblem(`The Redis of REDIS_URL (${new URL(url).host}) cannot be reached: ${said(error)}`, { cause: error })
  } finally {
    socket.destroy()
  }
}

function said(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException
  return message || code || String(error)
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)
