/**
 * A circuit breaker for each origin and namespace, in this worker alone. After so many failures in a row it opens: calls wait rather than fail,
 * one probe at a time is let through, and the first success lets all of them go. An open breaker never makes an outcome of its own: a call that has
 * waited for `waitMs` is made, whatever may come of it, though only some of these at once, so that a host that hangs does not take all slots.
 */
import type { Logger } from '@baton/runtime'
import type { HeldCall } from './held-calls.ts'
import { breakerChanges } from './metrics.ts'
import type { Line, WaitingRoom } from './waiting-room.ts'

export interface BreakersOptions {
  room: WaitingRoom
  log: Logger
  /** Failures in a row that open one. */
  failures: number
  /** How long a call waits at most for a breaker. */
  waitMs: number
  /** Calls that have waited for so long and are under way at once, of one breaker. */
  overdueMax: number
}

export interface Breakers {
  /** True as long as a host has failed and not succeeded since: only then is anything else here worth a look. */
  readonly troubled: boolean
  /** Undefined: it may be made. Else the line that it has to wait in. */
  lineFor(key: string, held: HeldCall): Line | undefined
  up(key: string): void
  down(key: string, held: HeldCall): void
  /** The call is over, whether it was made or not. */
  leave(key: string, held: HeldCall): void
  open(): number
  waiting(): number
}

interface Breaker {
  key: string
  state: 'closed' | 'open' | 'half-open'
  failures: number
  /** When the next probe may be made. */
  until: number
  coolMs: number
  probe: HeldCall | undefined
  overdue: Set<HeldCall>
  line: Line
  timer: NodeJS.Timeout | undefined
}

const COOL_MS_MIN = 1_000
const COOL_MS_MAX = 10_000
const BREAKERS_MAX = 1_000

export function createBreakers(options: BreakersOptions): Breakers {
  const { room, log } = options
  const breakers = new Map<string, Breaker>()

  function find(key: string): Breaker | undefined {
    const known = breakers.get(key)
    if (known) return known
    if (breakers.size >= BREAKERS_MAX) {
      const calm = [...breakers.values()].find(({ state }) => state === 'closed')
      if (!calm) return undefined
      breakers.delete(calm.key)
      room.close(calm.line)
    }
    const breaker: Breaker = {
      key,
      state: 'closed',
      failures: 0,
      until: 0,
      coolMs: COOL_MS_MIN,
      probe: undefined,
      overdue: new Set(),
      line: room.line(),
      timer: undefined,
    }
    breakers.set(key, breaker)
    return breaker
  }

  function move(breaker: Breaker, to: Breaker['state'], message: string): void {
    const { key, state: from, failures, coolMs, line } = breaker
    breaker.state = to
    breakerChanges.inc({ to })
    const [namespace, host] = key.split(' ')
    const fields = { namespace, host, from, to, failures, waiting: line.waiters.length, ...(to === 'open' ? { probeInMs: coolMs } : {}) }
    if (from === 'closed') log.warn(fields, message)
    else log.info(fields, message)
  }

  function openFor(breaker: Breaker, message: string): void {
    breaker.until = room.now() + breaker.coolMs
    breaker.probe = undefined
    move(breaker, 'open', message)
    pump(breaker)
  }

  function beginProbe(breaker: Breaker, held: HeldCall): void {
    breaker.probe = held
    move(breaker, 'half-open', 'one call probes the host')
  }

  /** Gives their turn to those whose time has come, and comes back when it is the next one's. */
  function pump(breaker: Breaker): void {
    clearTimeout(breaker.timer)
    const { waiters } = breaker.line
    const now = room.now()
    if (breaker.state === 'open' && breaker.until <= now && waiters.length > 0) {
      beginProbe(breaker, waiters[0]!.held!)
      waiters.shift()!.go()
    }
    while (waiters.length > 0 && waiters[0]!.since + options.waitMs <= now && breaker.overdue.size < options.overdueMax) {
      breaker.overdue.add(waiters[0]!.held!)
      waiters.shift()!.go()
    }
    if (waiters.length === 0) return
    const overdueAt = breaker.overdue.size < options.overdueMax ? waiters[0]!.since + options.waitMs : Number.POSITIVE_INFINITY
    const at = Math.min(breaker.state === 'open' ? breaker.until : Number.POSITIVE_INFINITY, overdueAt)
    if (at < Number.POSITIVE_INFINITY) breaker.timer = setTimeout(pump, Math.max(1, at - now), breaker).unref()
  }

  return {
    get troubled() {
      return breakers.size > 0
    },
    lineFor(key, held) {
      const breaker = breakers.get(key)
      if (!breaker || breaker.state === 'closed' || breaker.probe === held || breaker.overdue.has(held)) return undefined
      if (breaker.state === 'open' && breaker.until <= room.now() && breaker.line.waiters.length === 0) {
        beginProbe(breaker, held)
        return undefined
      }
      // Whoever comes now may be the first to wait.
      if (breaker.line.waiters.length === 0) setImmediate(pump, breaker)
      return breaker.line
    },
    up(key) {
      const breaker = breakers.get(key)
      if (!breaker) return
      breakers.delete(key)
      room.close(breaker.line)
      clearTimeout(breaker.timer)
      if (breaker.state === 'closed') return
      move(breaker, 'closed', 'the host answers again')
      for (const waiter of breaker.line.waiters.splice(0)) waiter.go()
    },
    down(key, held) {
      const breaker = find(key)
      if (!breaker) return
      breaker.failures++
      if (breaker.state === 'closed' && breaker.failures >= options.failures) openFor(breaker, 'the host fails, its calls wait')
      else if (breaker.probe === held) {
        breaker.coolMs = Math.min(2 * breaker.coolMs, COOL_MS_MAX)
        openFor(breaker, 'the host still fails')
      }
    },
    leave(key, held) {
      const breaker = breakers.get(key)
      if (!breaker) return
      const wasOverdue = breaker.overdue.delete(held)
      // It was not made after all: the next one probes.
      if (breaker.probe === held) {
        breaker.probe = undefined
        breaker.until = room.now()
        move(breaker, 'open', 'the probe was not made')
      } else if (!wasOverdue) return
      pump(breaker)
    },
    open: () => [...breakers.values()].filter(({ state }) => state !== 'closed').length,
    waiting: () => [...breakers.values()].reduce((sum, { line }) => sum + line.waiters.length, 0),
  }
}
