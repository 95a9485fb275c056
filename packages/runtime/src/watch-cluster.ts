/**
 * The watch over a cluster: each lane has a sentinel in its own slot, and is asked in one script which server has it, since when, and what time it
 * is there. A server that was started again, a replica that was promoted and one that was emptied are found alike; a slot that moved is taken for a
 * loss too, which costs a look and no more.
 */
import { keys, PARTITION_COUNT } from '@baton/contracts'
import type { Redis } from 'ioredis'
import { AHEAD_MS, local, PAUSE_MS, REPEATED_AFTER_MS, type RedisWatch } from './watch-redis.ts'

const SENTINELS = Array.from({ length: PARTITION_COUNT }, (_, lane) => keys.sentinelOf(lane))

/** Sets the sentinel when it is missing, or from a clock that was ahead. Gives the time, what the sentinel was, and the life of the server. */
const LOOK = `
  local time = redis.call('time')
  local at = time[1] * 1000 + math.floor(time[2] / 1000)
  local info = redis.call('info', 'server')
  local known = redis.call('get', KEYS[1])
  if not known or not tonumber(known) or tonumber(known) > at + ARGV[1] then
    redis.call('set', KEYS[1], string.format('%.0f', at))
    known = false
  end
  return { string.format('%.0f', at), known, string.match(info, 'run_id:(%w+)') or '',
    string.match(info, 'uptime_in_seconds:(%d+)') or '0' }`
const PEEK = `local time = redis.call('time')
  return { string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), redis.call('get', KEYS[1]) }`

interface Lane {
  life: string | undefined
  sentinel: string | undefined
  aheadMs: number
  /** When another life began, as it was noticed, by the clock there. */
  metAt: number
}

/** As watchRedis, for the nodes that have the lanes. */
export function watchCluster(redis: Redis, now: () => number): RedisWatch {
  const lanes: Lane[] = SENTINELS.map(() => ({ life: undefined, sentinel: undefined, aheadMs: 0, metAt: 0 }))
  let since: number | null = null
  let answeredAt = 0
  const onLost = () => {
    since = null
  }
  ;(redis as unknown as { on(event: string, heard: () => void): void }).on('-node', onLost)
  redis.on('close', onLost)

  async function ask(script: string, ...args: number[]): Promise<string[][]> {
    const pipeline = redis.pipeline()
    for (const key of SENTINELS) pipeline.eval(script, 1, key, ...args)
    const replies = (await pipeline.exec()) ?? []
    return replies.map(([error, reply]) => {
      if (error) throw error
      return reply as string[]
    })
  }

  /** True when what the lane held before may be gone. */
  function meet(lane: Lane, [time, known, life]: (string | null)[], askedAt: number): boolean {
    const at = Number(time)
    const found = known ?? time!
    const isOther = lane.life !== undefined && lane.life !== life
    const isEmptied = known === null || (lane.sentinel !== undefined && found !== lane.sentinel)
    if (isOther || isEmptied) lane.metAt = at
    lane.aheadMs = at - (askedAt + local()) / 2
    lane.life = life!
    lane.sentinel = found
    return isOther || isEmptied
  }

  return {
    async look() {
      const askedAt = local()
      const replies = await ask(LOOK, AHEAD_MS)
      const isFirst = lanes[0]!.life === undefined
      const lost = replies.map((reply, index) => meet(lanes[index]!, reply, askedAt)).some(Boolean)
      const wasPaused = since === null || now() - answeredAt > PAUSE_MS
      answeredAt = now()
      if (isFirst) since = answeredAt - 1_000 * Math.min(...replies.map(([, , , upSeconds]) => Number(upSeconds)))
      else if (lost || wasPaused) since = answeredAt
      return lost
    },
    async isSettled() {
      if (since === null || now() - answeredAt > PAUSE_MS || now() - since < REPEATED_AFTER_MS) return false
      const replies = await ask(PEEK)
      return replies.every(([at, known]) => known != null && Number(at) - Number(known) >= REPEATED_AFTER_MS)
    },
    now: (stream) => local() + lanes[laneOf(stream)]!.aheadMs,
    isDoubtful: (stream, entryId) => since === null || Number(entryId.slice(0, entryId.indexOf('-'))) <= lanes[laneOf(stream)]!.metAt,
  }
}

/** Of `calls:{3}`; what names none is told by the first. */
function laneOf(stream: string): number {
  const lane = Number(/\{(\d+)\}/.exec(stream)?.[1] ?? 0)
  return lane < PARTITION_COUNT ? lane : 0
}
