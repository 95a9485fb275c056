import { setTimeout as delay } from 'node:timers/promises'
import { Heartbeat, keys } from '@baton/contracts'
import { clock, connect, type Sql } from '@baton/store'
import type { Redis } from 'ioredis'
import { byLevel, type Finding, ok, reasonOf, skipped } from './finding.ts'
import { withRedis } from './look-at-redis.ts'

/** A replica beats each 5 s; what has not beaten by then is not there any more. */
const BEAT_MS_MAX = 6_000
const LOOK_EVERY_MS = 50
const FIX =
  'Let that machine keep time (chrony, systemd-timesyncd). Deadlines obey the clock of Postgres; logs and metrics would contradict each other.'

/** Compares the clock of each replica with that of Postgres, by the moment when its next heartbeat is seen in Redis. Takes up to 6 s. */
export async function lookAtClocks(databaseUrl: string | undefined, redisUrl: string | undefined): Promise<Finding[]> {
  if (databaseUrl === undefined || redisUrl === undefined) return [skipped('clocks', 'give DATABASE_URL and REDIS_URL to compare them')]
  const sql = connect(databaseUrl, { max: 1, applicationName: 'baton-doctor' })
  try {
    const offsetMs = await offsetOfPostgres(sql)
    const skews = await withRedis(redisUrl, (redis) => measure(redis, offsetMs))
    return skews.size === 0 ? [skipped('clocks', 'no replica beats')] : judge(skews, offsetMs)
  } catch (error) {
    return [skipped('clocks', `they cannot be compared: ${reasonOf(error)}`)]
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** By how much the clock of Postgres is ahead of ours, from the quickest of a few answers. */
async function offsetOfPostgres(sql: Sql): Promise<number> {
  let best = { tookMs: Number.POSITIVE_INFINITY, offsetMs: 0 }
  for (let tries = 0; tries < 5; tries++) {
    const before = Date.now()
    const theirs = await clock(sql)
    const after = Date.now()
    if (after - before < best.tookMs) best = { tookMs: after - before, offsetMs: theirs - (before + after) / 2 }
  }
  return best.offsetMs
}

/** By how much each replica's clock is ahead of Postgres, once it beat while we looked. */
async function measure(redis: Redis, offsetMs: number): Promise<Map<string, number>> {
  const skews = new Map<string, number>()
  const first = await readBeats(redis)
  const deadline = performance.now() + BEAT_MS_MAX
  while (skews.size < first.size && performance.now() < deadline) {
    await delay(LOOK_EVERY_MS)
    for (const [name, at] of await readBeats(redis)) {
      if (first.has(name) && !skews.has(name) && at !== first.get(name)) skews.set(name, at - (Date.now() + offsetMs))
    }
  }
  return skews
}

async function readBeats(redis: Redis): Promise<Map<string, number>> {
  const beats = Object.entries(await redis.hgetall(keys.replicas)).map(
    ([name, text]) => [name, Heartbeat.safeParse(JSON.parse(text)).data?.at] as const,
  )
  return new Map(beats.filter((beat): beat is [string, number] => beat[1] !== undefined))
}

function judge(skews: Map<string, number>, offsetMs: number): Finding[] {
  const findings = [...skews].map(([name, skewMs]) => {
    const found = `${name} is ${(Math.abs(skewMs) / 1_000).toFixed(1)} s ${skewMs > 0 ? 'ahead of' : 'behind'} Postgres`
    return byLevel('clocks', Math.abs(skewMs), { warnFrom: 1_000, failFrom: 5_000 }, found, FIX)
  })
  const wrong = findings.filter(({ status }) => status !== 'ok')
  const most = Math.max(...[...skews.values()].map(Math.abs))
  if (wrong.length > 0) return wrong
  return [ok('clocks', `${skews.size} replicas are within ${Math.ceil(most)} ms of Postgres (this machine: ${Math.round(-offsetMs)} ms)`)]
}
