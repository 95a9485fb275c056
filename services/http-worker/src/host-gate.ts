/**
 * Which calls may be made to their host now: neither its breaker (breakers.ts) nor its rate limit (rate-limits.ts) stands against it. The others
 * wait in the room without a slot. As long as no host fails and none has a limit, a call passes at the price of one comparison.
 */
import type { HttpCall } from '@baton/contracts'
import type { Breakers } from './breakers.ts'
import type { Outcome } from './call-http.ts'
import type { HeldCall } from './held-calls.ts'
import { callsDelayed } from './metrics.ts'
import type { RateBuckets } from './rate-buckets.ts'
import { limitOf, type RateLimit, type RateLimits } from './rate-limits.ts'
import type { Line, WaitingRoom } from './waiting-room.ts'

export interface HostGateOptions {
  room: WaitingRoom
  /** Undefined: none is kept. */
  breakers: Breakers | undefined
  limits: RateLimits
  buckets: RateBuckets
}

export interface HostGate {
  /** No host fails and none has a limit: every call may pass without a word. */
  readonly idle: boolean
  /** `go`: it may be made. `wait`: it waits without its slot, or is over. A promise: the room is full; it asks again when this resolves. */
  enter(held: HeldCall): 'go' | 'wait' | Promise<void>
  /** A call that was made has come to this. */
  observe(held: HeldCall, outcome: Outcome): void
  /** A call that has passed is over, made or not. */
  leave(held: HeldCall): void
  /** A call under way asks whether it may ask its host for more; undefined: at once. */
  pace(call: HttpCall): Promise<void> | undefined
  onTurn: WaitingRoom['onTurn']
  /** Asks about the calls that wait and of which `isMeant` is true; those that are not to be made any more leave. */
  withdraw(isMeant: (held: HeldCall) => boolean, isOver: (held: HeldCall) => Promise<boolean>): Promise<void>
  drain(): HeldCall[]
  /** Calls that wait for a rate limit. */
  waitingForRate(): number
}

/** Whom a URL asks. */
interface Target {
  origin: string
  rate: RateLine | undefined
}

/** The calls of one host that has a limit. */
interface RateLine {
  host: string
  limit: RateLimit
  line: Line
  asking: boolean
}

const TARGETS_MAX = 1_000
const TAKE_MAX = 64

export function createHostGate({ room, breakers, limits, buckets }: HostGateOptions): HostGate {
  const targets = new Map<string, Target | undefined>()
  const rates = new Map<string, RateLine>()
  /** Calls that the limit of their host has let through. */
  const paid = new Set<HeldCall>()
  let closed = false

  function targetOf(url: string): Target | undefined {
    const from = url.indexOf('://') + 3
    const host = url.slice(from).split(/[/?#]/, 1)[0]!
    const head = url.slice(0, from + host.length)
    if (targets.has(head)) return targets.get(head)
    const parsed = URL.parse(head)
    const target = parsed === null ? undefined : { origin: parsed.origin, rate: rateOf(parsed.hostname.replace(/\.$/, '')) }
    if (targets.size >= TARGETS_MAX) targets.clear()
    targets.set(head, target)
    return target
  }

  function rateOf(host: string): RateLine | undefined {
    const known = rates.get(host)
    if (known) return known
    const limit = limitOf(limits, host)
    if (!limit) return undefined
    const rate: RateLine = { host, limit, line: room.line(), asking: false }
    rates.set(host, rate)
    return rate
  }

  /** Lets as many go as the limit gives, and comes back when it gives more. */
  async function pump(rate: RateLine): Promise<void> {
    const { line, host, limit } = rate
    if (rate.asking || line.waiters.length === 0) return
    rate.asking = true
    const { granted, waitMs } = await buckets.take(host, limit, Math.min(line.waiters.length, TAKE_MAX))
    rate.asking = false
    for (const waiter of line.waiters.splice(0, granted)) {
      if (waiter.held) paid.add(waiter.held)
      waiter.go()
    }
    if (line.waiters.length > 0) setTimeout(() => void pump(rate), Math.max(1, waitMs)).unref()
  }

  function stand(line: Line, held: HeldCall, why: 'breaker' | 'rate'): 'wait' | Promise<void> {
    callsDelayed.inc({ why })
    return room.wait(line, held) ?? 'wait'
  }

  const keyOf = ({ call }: HeldCall, { origin }: Target) => `${call.namespace} ${origin}`
  const isIdle = () => limits.size === 0 && breakers?.troubled !== true

  function leave(held: HeldCall): void {
    if (isIdle()) return
    paid.delete(held)
    const target = breakers?.troubled ? targetOf(held.call.request.url) : undefined
    if (target) breakers!.leave(keyOf(held, target), held)
  }

  return {
    get idle() {
      return isIdle()
    },
    enter(held) {
      if (held.state === 'ended') leave(held)
      if (closed || held.state === 'ended') return 'wait'
      if (isIdle()) return 'go'
      const target = targetOf(held.call.request.url)
      if (!target) return 'go'
      const line = breakers?.lineFor(keyOf(held, target), held)
      if (line) return stand(line, held, 'breaker')
      const { rate } = target
      if (!rate || paid.has(held)) return 'go'
      const waits = stand(rate.line, held, 'rate')
      void pump(rate)
      return waits
    },
    observe(held, outcome) {
      if (!breakers || (outcome.status === 'succeeded' && !breakers.troubled)) return
      const verdict = verdictOf(outcome)
      const target = verdict && targetOf(held.call.request.url)
      if (!target) return
      if (verdict === 'up') breakers.up(keyOf(held, target))
      else breakers.down(keyOf(held, target), held)
    },
    leave,
    pace({ request }) {
      const rate = limits.size === 0 ? undefined : targetOf(request.url)?.rate
      if (!rate) return undefined
      const turn = room.waitUnderWay(rate.line)
      void pump(rate)
      return turn
    },
    onTurn: room.onTurn,
    async withdraw(isMeant, isOver) {
      if (room.waiting() === 0) return
      await Promise.all(
        room.takeOut(isMeant).map(async ({ held, putBack, leave }) => {
          if (await isOver(held).catch(() => false)) leave()
          else putBack()
        }),
      )
    },
    drain() {
      closed = true
      return room.drain()
    },
    waitingForRate: () => [...rates.values()].reduce((sum, { line }) => sum + line.waiters.length, 0),
  }
}

/** What a call tells of its host; undefined: nothing. An answer that the step does not take is an answer. */
function verdictOf(outcome: Outcome): 'up' | 'down' | undefined {
  if (outcome.status === 'succeeded') return 'up'
  const { code, status } = outcome.error
  switch (code) {
    case 'BTN_HTTP_STATUS':
      return status !== undefined && status >= 500 ? 'down' : 'up'
    case 'BTN_TIMEOUT':
      return 'down'
    case 'BTN_HTTP_NETWORK':
      return outcome.retryable ? 'down' : undefined
    case 'BTN_HTTP_RESPONSE':
    case 'BTN_HTTP_PAGES':
    case 'BTN_HTTP_TOO_LARGE':
    case 'BTN_OUTPUT_TOO_LARGE':
      return 'up'
    default:
      return undefined
  }
}
