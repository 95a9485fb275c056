/**
 * Says each second that what takes longer is not forgotten: the entry stays ours (XCLAIM … JUSTID resets its idle time), and
 * `inflight:<call>` tells everybody else that the call is being made. One interval for all calls. It also notices when this process itself
 * stood still (SIGSTOP, a paused machine): others may have taken over by then.
 */
import { GROUPS, keys } from '@baton/contracts'
import { isGroupLost, type Logger, type Redis, type RedisWatch } from '@baton/runtime'
import type { HeldCall, HeldCalls, HeldEntry } from './held-calls.ts'
import { INFLIGHT_TTL_MS, NOBODY, sayInstead, wordOf } from './inflight-words.ts'

const EVERY_MS = 1_000
/** Timers are this late under load without harm. */
const MARGIN_MS = 250

/** A moment at which a call was known to be ours. */
export interface Mark {
  stalls: number
  /** ms of the clock that nobody sets. */
  at: number
}

export interface KeepAlive {
  /** How often this process was found to have stood still. */
  readonly stalls: number
  /** This moment. */
  mark(): Mark
  /** True when nobody can have taken over since: this process has not stood still, and Redis has heard of it lately. */
  holds(since: Mark): boolean
  /** True when it stands, or has just stood, still. */
  isStalled(): boolean
  stop(): void
}

export function keepAlive(options: {
  held: HeldCalls
  redis: Redis
  watch: Pick<RedisWatch, 'look'>
  consumer: string
  log: Logger
  takeoverMs: number
  /** Called each second after what is held was kept alive; `looked`: the look at Redis that has just been sent, whatever comes of it. */
  everySecond(looked: Promise<unknown>): void
}): KeepAlive {
  const { held, redis, watch, consumer, log } = options
  // An entry is first kept alive when it is one to two intervals old: a takeover may have begun when this much passed between two ticks.
  const stallMs = options.takeoverMs - EVERY_MS - MARGIN_MS
  let lastTick = performance.now()
  let lastWord = lastTick
  let stalls = 0
  let busy = false

  const tick = async () => {
    const now = performance.now()
    const stoodStill = now - lastTick > stallMs
    // Cut off from Redis: others have heard nothing of it either.
    const stalled = stoodStill || now - lastWord > stallMs
    lastTick = now
    if (stalled) {
      stalls++
      if (stoodStill) log.warn('this worker stood still; asking whether its calls are still wanted')
      for (const entry of held.entries) entry.doubtful = true
    }
    if (busy) return
    busy = true
    try {
      const isKept = await keepAll(stalled).catch(notKept)
      if (isKept) lastWord = now
      // Sent together, and answered together: a process at rest is woken once by both.
      const looked = isKept ? watch.look().catch(notKept) : Promise.resolve()
      options.everySecond(looked)
      await looked
    } finally {
      busy = false
    }
  }

  async function keepAll(stalled: boolean): Promise<true> {
    if (stalled) await findLost(redis, consumer, held)
    await keep(redis, consumer, held)
    return true
  }

  function notKept(error: Error): void {
    log.warn({ err: error }, 'calls could not be kept alive')
  }

  const timer = setInterval(() => void tick(), EVERY_MS)
  const isStalled = () => performance.now() - lastTick > stallMs
  return {
    get stalls() {
      return stalls
    },
    mark: () => ({ stalls, at: performance.now() }),
    holds: (since) => since.stalls === stalls && !isStalled() && performance.now() - Math.max(since.at, lastWord) <= stallMs,
    isStalled,
    stop: () => clearInterval(timer),
  }
}

type Pipeline = ReturnType<Redis['pipeline']>

/** Keeps those entries that are still the consumer's, and answers which are not: they were taken over, and are not taken back. */
const KEEP = `local lost = {}
for i = 3, #ARGV do
  local rows = redis.pcall('xpending', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
  if rows.err then return rows end
  if rows[1] and rows[1][2] == ARGV[2] then
    redis.call('xclaim', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost`

/** Rejects when Redis did not take all of it: then nobody has heard it. */
async function keep(redis: Redis, consumer: string, held: HeldCalls): Promise<void> {
  const before = Date.now() - EVERY_MS
  const entries = [...held.entries].filter(({ since }) => since <= before)
  if (entries.length === 0) return
  const kept = Map.groupBy(
    entries.filter(({ lost }) => !lost),
    ({ stream }) => stream,
  )
  const pipeline = redis.pipeline()
  // After FLUSHALL there is no group: the keys are written again nevertheless, and that is what tells the reconciler.
  for (const [stream, group] of kept) pipeline.eval(KEEP, 1, stream, GROUPS.calls, consumer, ...group.map(({ id }) => id))
  for (const { calls } of entries) for (const call of calls) if (call.state !== 'ended') announce(pipeline, consumer, call)
  if (pipeline.length === 0) return
  const answers = (await pipeline.exec()) ?? []
  for (const [index, group] of [...kept.values()].entries()) {
    const gone = new Set(answers[index]?.[1] as string[] | undefined)
    for (const entry of group) if (gone.has(entry.id)) entry.doubtful = true
  }
  failUnlessTaken(answers)
}

function announce(pipeline: Pipeline, consumer: string, call: HeldCall): void {
  const key = keys.inflight(call.id)
  if (call.apart) {
    const word = wordOf(consumer, true)
    pipeline.eval(...sayInstead(call.id, word, [word, NOBODY]))
  } else if (call.entry.lost) {
    return
  } else if (call.state === 'running') {
    call.announced = true
    pipeline.set(key, wordOf(consumer, false), 'PX', INFLIGHT_TTL_MS)
  } else {
    // It may be a copy of one that another worker makes: the key of that one is not taken.
    pipeline.set(key, wordOf(consumer, false), 'PX', INFLIGHT_TTL_MS, 'NX')
    pipeline.expire(key, INFLIGHT_TTL_MS / 1_000)
  }
}

/** A pipeline does not reject when Redis is loading its data or may not write: each of its commands fails by itself. */
function failUnlessTaken(answers: [error: Error | null, result: unknown][] | null): void {
  for (const [error] of answers ?? []) if (error && !isGroupLost(error)) throw error
}

/** Which entries another worker has taken over meanwhile. A flushed Redis knows none of them; those stay ours. */
async function findLost(redis: Redis, consumer: string, held: HeldCalls): Promise<void> {
  const entries: HeldEntry[] = [...held.entries]
  if (entries.length === 0) return
  const pipeline = redis.pipeline()
  for (const { stream, id } of entries) pipeline.xpending(stream, GROUPS.calls, id, id, 1)
  const answers = (await pipeline.exec()) ?? []
  failUnlessTaken(answers)
  for (const [index, [error, rows]] of answers.entries()) {
    const owner = error ? undefined : (rows as [id: string, consumer: string][])[0]?.[1]
    if (owner !== undefined && owner !== consumer) entries[index]!.lost = true
  }
}
