/** What a service asks of its dependencies before it says that it is ready. */
import type { Redis } from 'ioredis'
import { isCluster, mastersOf } from './layout.ts'
import { explainRedis, throwTrouble } from './redis-trouble.ts'

/** One dependency; `check` rejects with the reason when it is away. */
export interface Check {
  name: string
  check(): Promise<void>
}

export interface CheckResult {
  name: string
  ok: boolean
  latencyMs: number
  error?: string
}

const CHECK_MS_MAX = 2_000

/** Runs all checks at once, each within 2 s. */
export async function runChecks(checks: readonly Check[]): Promise<CheckResult[]> {
  return Promise.all(checks.map(runCheck))
}

async function runCheck({ name, check }: Check): Promise<CheckResult> {
  const startedAt = performance.now()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${CHECK_MS_MAX} ms`)), CHECK_MS_MAX)
  })
  const result = await Promise.race([check(), late]).then(
    () => ({ ok: true }),
    (error: Error) => ({ ok: false, error: error.message || error.name }),
  )
  clearTimeout(timer)
  return { name, latencyMs: Math.round((performance.now() - startedAt) * 10) / 10, ...result }
}

/** Redis answers (of a cluster, every master), and evicts nothing: a stream that loses entries loses work. */
export function checkRedis(redis: Redis): Check {
  return {
    name: 'redis',
    async check() {
      try {
        // A connection that waits would say nothing until somebody looks elsewhere.
        if (redis.status !== 'ready') throwTrouble(redis)
        await checkMasters(redis)
      } catch (error) {
        throw explainRedis(redis, error as Error)
      }
    },
  }
}

async function checkMasters(redis: Redis): Promise<void> {
  const masters = await mastersOf(redis)
  await Promise.all(masters.map(checkEviction))
  if (!isCluster(redis)) return
  const info = String(await redis.cluster('INFO'))
  if (!info.includes('cluster_state:ok'))
    throw new Error('the cluster is down: CLUSTER INFO and CLUSTER NODES tell which slots nobody serves')
}

async function checkEviction(redis: Redis): Promise<void> {
  const policy = /^maxmemory_policy:(\S+)/m.exec(await redis.info('memory'))?.[1]
  if (policy !== 'noeviction') {
    throw new Error(`maxmemory-policy is ${policy ?? 'unknown'}, it must be noeviction: CONFIG SET maxmemory-policy noeviction`)
  }
}

/** Postgres answers. Takes the pool of the store. */
export function checkPostgres(sql: (strings: TemplateStringsArray) => PromiseLike<unknown>): Check {
  return {
    name: 'postgres',
    async check() {
      await sql`select 1`
    },
  }
}
