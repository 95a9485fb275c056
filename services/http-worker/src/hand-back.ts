import { ENTRY_FIELD, type HttpCall, keys } from '@baton/contracts'
import type { Logger, Redis } from '@baton/runtime'
import type { HeldCall, HeldCalls } from './held-calls.ts'
import { callsHandedBack } from './metrics.ts'

/**
 * Gives calls back to the stream they came from, for other workers to take at once. First the new entry, then the end of the old one: whoever
 * dies in between leaves a call twice, never not at all. `resent` makes the next worker ask first: the call was begun here.
 */
export async function handBack(options: {
  redis: Redis
  held: HeldCalls
  calls: readonly HeldCall[]
  resent: boolean
  log: Logger
}): Promise<void> {
  const { redis, held, calls, log } = options
  const mine = calls.filter(({ entry, apart }) => apart || !entry.lost)
  if (mine.length === 0) return
  const pipeline = redis.pipeline()
  for (const [entry, group] of Map.groupBy(mine, ({ entry }) => entry)) {
    const pack: HttpCall[] = group.map(({ call, apart }) => (options.resent || apart ? { ...call, resent: true } : call))
    // No longer ours to announce: the next worker would take the key for somebody who still makes the call.
    pipeline.del(...group.map(({ id }) => keys.inflight(id)))
    pipeline.xadd(entry.stream, '*', ENTRY_FIELD, JSON.stringify(pack))
  }
  try {
    const answers = (await pipeline.exec()) ?? []
    const failure = answers.find(([error]) => error !== null)?.[0]
    if (failure) throw failure
  } catch (error) {
    log.error({ err: error, calls: mine.length }, 'calls could not be handed back, others will take them over')
    return
  }
  callsHandedBack.inc(mine.length)
  log.info({ calls: mine.length }, 'calls handed back')
  for (const call of mine) {
    call.announced = false
    held.end(call)
  }
}
