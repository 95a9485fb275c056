/** What happens to a call in its slot: claimed if need be, made, answered. */
import type { Fact, HttpCall } from '@baton/contracts'
import { type FactSender, type Logger, NotBegun, originOf, type Redis, type RedisWatch } from '@baton/runtime'
import { failed, type Outcome } from './call-http.ts'
import { type Claim, type ClaimOptions, claimCall } from './claim-call.ts'
import type { HeldCall, HeldCalls } from './held-calls.ts'
import type { KeepAlive, Mark } from './keep-alive.ts'
import { keepTrying, Leaving } from './keep-trying.ts'
import { callSeconds, callsDropped, callsEnded } from './metrics.ts'

export interface RunCallOptions {
  redis: Redis
  watch: Pick<RedisWatch, 'isSettled' | 'now' | 'isDoubtful'>
  consumer: string
  log: Logger
  held: HeldCalls
  facts: FactSender
  /** A call whose commit is older than this is asked about first. */
  askAfterMs: number
  crashesMax: number
  isAnswered: ClaimOptions['isAnswered']
  isWanted: ClaimOptions['isWanted']
  /** Now, by the clock of Postgres. */
  now(): number
  /** The run has begun to end, as far as this worker has heard. */
  isEnding(runId: string): boolean
  /** This process stood still just now. */
  isStalled(): boolean
  mark: KeepAlive['mark']
  holds: KeepAlive['holds']
  /** This worker has given up what it held. */
  leaving(): boolean
  /**
   * Waits for what is away; throws Leaving, or what nobody foresaw. `mayBegin` is asked when the first request is about to be written: when it says
   * no, nothing is, and NotBegun is thrown.
   */
  makeCall(call: HttpCall, mayBegin: () => boolean): Promise<Outcome>
  /** Told what a call that was made has come to. */
  onOutcome?(held: HeldCall, outcome: Outcome): void
}

const SETTLED_POLL_MS = 250
const SETTLED_MS_MAX = 15_000
/** A call reached Redis this long after its commit: its runner stood still in between, and another may have sent it meanwhile. */
const SENT_LATE_MS = 500
/** What waited in hand for longer may have been sent, made and answered elsewhere before it was announced. */
const IN_HAND_MS = 1_000
/** A call that needed no asking is as good as new for so long: connections rarely take longer. */
const FRESH_MS = 2_500
/** And what was asked about one that somebody else may have begun. */
const FRESH_ANSWER_MS = 250
/** After so many answers that were too old when the call could begin, one that was not taken over is good enough: all is slow here. */
const FRESH_TRIES = 2

/** Runs one call to its answer. Never rejects. */
export async function runCall(held: HeldCall, options: RunCallOptions): Promise<void> {
  try {
    if (held.call.resent) await untilSettled(options)
    for (let tries = 1; ; tries++) {
      if (options.leaving()) return
      const since = options.mark()
      const asks = mustAsk(held, options)
      const claim = asks ? await keepTrying(() => claimCall(held, options, since), options) : 'ours'
      if (options.leaving()) return
      if (await isDropped(held, claim, options)) return
      held.state = 'running'
      const startedAt = Date.now()
      const outcome =
        claim === 'too many crashes'
          ? lostTooOften(options.crashesMax)
          : await make(held, since, tries > FRESH_TRIES ? undefined : asks ? FRESH_ANSWER_MS : FRESH_MS, options)
      if (options.leaving()) return
      if (outcome === 'not begun') continue
      options.onOutcome?.(held, outcome)
      callSeconds.observe((Date.now() - startedAt) / 1_000)
      return await answer(held, startedAt, outcome, options)
    }
  } catch (error) {
    if (error instanceof Leaving) return
    options.log.error({ err: error, call: held.id, ...originOf(held.call) }, 'call left to others')
    // No longer kept alive: another worker takes it over.
    held.entry.lost = true
    options.held.end(held)
  }
}

/** Asks about a call that waits; true when it is over, since nobody wants it any more or another worker has it. Rejects as runCall does not. */
export async function isOver(held: HeldCall, options: RunCallOptions): Promise<boolean> {
  return isDropped(held, await claimCall(held, options), options)
}

async function isDropped(held: HeldCall, claim: Claim, options: RunCallOptions): Promise<boolean> {
  if (claim === 'ours' || claim === 'too many crashes') return false
  if (claim === 'unwanted') await withdraw(held, options)
  else drop(held, claim, options)
  return true
}

/** What was lost with Redis may be held by a worker that has not said so again yet. It does not wait for ever: it asks before it is made. */
async function untilSettled(options: RunCallOptions): Promise<void> {
  const begunAt = performance.now()
  while (!(await keepTrying(options.watch.isSettled, options)) && !options.leaving()) {
    if (performance.now() - begunAt > SETTLED_MS_MAX) return
    await new Promise((resolve) => setTimeout(resolve, SETTLED_POLL_MS))
  }
}

function mustAsk(held: HeldCall, options: RunCallOptions): boolean {
  if (options.isStalled()) held.entry.doubtful = true
  if (held.ask || held.entry.doubtful || options.isEnding(held.call.runId)) return true
  const { stream, id } = held.entry
  // What was done with it before Redis failed over, or was started again, may be forgotten there.
  if (options.watch.isDoubtful(stream, id)) return true
  const ageMs = options.now() - held.call.at
  if (Date.now() - held.entry.since > IN_HAND_MS) return true
  return ageMs > options.askAfterMs || ageMs - waitedMs(id, options.watch.now(stream)) > SENT_LATE_MS
}

/** How long an entry has stood in its stream; its id is when it came, by Redis' clock. */
function waitedMs(entryId: string, redisNow: number): number {
  return redisNow - Number(entryId.slice(0, entryId.indexOf('-')))
}

/**
 * Between a claim and the first byte lie secrets, names and connections. Meanwhile this process may stand still or be cut off, and others take over;
 * or somebody who stood still in the middle of the call comes back with its result. What that may be true of is not begun, but asked about again.
 */
async function make(held: HeldCall, since: Mark, freshMs: number | undefined, options: RunCallOptions): Promise<Outcome | 'not begun'> {
  const { makeCall, holds, log } = options
  const { call } = held
  const mayBegin = () => holds(since) && (freshMs === undefined || performance.now() - since.at <= freshMs)
  try {
    return await makeCall(call, mayBegin)
  } catch (error) {
    if (error instanceof Leaving) throw error
    if (error instanceof NotBegun) {
      held.entry.doubtful = true
      held.state = 'waiting'
      return 'not begun'
    }
    log.error({ err: error, runId: call.runId, path: call.path, ...originOf(call) }, 'call failed on our side')
    return failed('BTN_INTERNAL', 'the call failed on our side; the log of the http-worker has the reason', true)
  }
}

async function answer(held: HeldCall, startedAt: number, outcome: Outcome, options: RunCallOptions): Promise<void> {
  const { runId, path, generation, attempt } = held.call
  const fact: Fact = { kind: 'result', runId, path, generation, attempt, startedAt, outcome }
  await keepTrying(() => options.facts.send(fact), options)
  callsEnded.inc({ outcome: outcome.status === 'succeeded' ? 'succeeded' : outcome.error.code })
  options.held.end(held)
}

/** Says that the call was not made: a run that is ending waits for it no longer. Everybody else takes it for a late answer. */
async function withdraw(held: HeldCall, options: RunCallOptions): Promise<void> {
  const { runId, path, generation, attempt } = held.call
  const outcome = failed('BTN_WITHDRAWN', 'the call was withdrawn before it was made', false)
  await keepTrying(() => options.facts.send({ kind: 'result', runId, path, generation, attempt, startedAt: Date.now(), outcome }), options)
  drop(held, 'unwanted', options)
}

function drop(held: HeldCall, reason: Claim, options: RunCallOptions): void {
  callsDropped.inc({ reason })
  options.log.debug({ call: held.id, reason, ...originOf(held.call) }, 'call dropped')
  // The key is whose it says.
  if (reason === 'held elsewhere') held.announced = false
  options.held.end(held)
}

function lostTooOften(crashesMax: number): Outcome {
  return failed('BTN_WORKER_LOST', `the call lost its worker ${crashesMax} times`, true)
}
