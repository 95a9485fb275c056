/**
 * The work of this service: reads entries while slots are free, makes each call of a pack in a slot of its own, answers with its own fact.
 * An entry is acknowledged after the facts of all its calls are answered by Redis, never before.
 */
import { createFactSender, type Logger, type Redis, watchRedis } from '@baton/runtime'
import { findAnswers } from './find-answers.ts'
import { handBack } from './hand-back.ts'
import { createHeldCalls, type HeldCall } from './held-calls.ts'
import type { HostGate } from './host-gate.ts'
import { keepAlive } from './keep-alive.ts'
import { readCalls, takeOverCalls, takeOverFromEarlierLives } from './read-calls.ts'
import { isOver, type RunCallOptions, runCall } from './run-call.ts'
import { createSlots } from './slots.ts'

export interface TakeCallsOptions extends Pick<RunCallOptions, 'askAfterMs' | 'crashesMax' | 'isWanted' | 'isEnding' | 'now' | 'makeCall'> {
  redis: Redis
  consumer: string
  log: Logger
  concurrency: number
  /** Silence after which calls of another worker are taken over. */
  takeoverMs: number
  /** Consumers that this process has succeeded, and that have ended for certain. */
  isEarlierLife?: (consumer: string) => boolean
  /** Undefined: no call waits for its host. */
  gate?: HostGate | undefined
}

export interface CallTaker {
  running(): number
  waiting(): number
  /** Reads no more, lets what runs end within `graceMs`, hands the rest back. */
  stop(graceMs: number): Promise<void>
}

/** Acknowledgements wait at most this long for facts to ride with. */
const SETTLE_MS = 50
/** What a stop may take beyond its grace: with Redis away nothing can be handed back, and others take over what Redis still knows. */
const LEAVE_MS = 2_500

/** Starts taking calls. */
export function takeCalls(options: TakeCallsOptions): CallTaker {
  const { redis, consumer, log, gate } = options
  const stopping = new AbortController()
  let leaving = false
  let claiming = false
  let earlierLives = options.isEarlierLife
  let settleTimer: NodeJS.Timeout | undefined

  const watch = watchRedis(redis)
  const held = createHeldCalls(() => {
    settleTimer = setTimeout(settle, SETTLE_MS)
  })
  const facts = createFactSender(redis, {
    extend(pipeline) {
      clearTimeout(settleTimer)
      held.settle(pipeline)
    },
  })
  const isAnswered = findAnswers(redis)
  const running: RunCallOptions = {
    ...options,
    watch,
    isAnswered: ({ call }) => isAnswered(call),
    held,
    facts,
    isStalled: () => alive.isStalled(),
    mark: () => alive.mark(),
    holds: (since) => alive.holds(since),
    leaving: () => leaving,
  }
  if (gate) running.onOutcome = gate.observe
  const slots = createSlots<HeldCall>(options.concurrency, (call) => (gate && !gate.idle ? runBehind(gate, call) : runCall(call, running)))
  gate?.onTurn((call) => slots.add([call]))
  let looked: Promise<unknown> = Promise.resolve()
  const isSettled = async () => {
    await looked
    return watch.isSettled()
  }
  const incoming = { redis, isSettled, consumer, log, held, slots, signal: stopping.signal, unsureLives: new Set<string>() }
  const alive = keepAlive({ held, redis, watch, consumer, log, takeoverMs: options.takeoverMs, everySecond })
  watch.look().then(takeOver, (error: Error) => log.warn({ err: error }, 'Redis could not be looked at'))
  const reading = readCalls(incoming, alive)

  /** A call that has to wait for its host gives its slot to others. */
  async function runBehind(gate: HostGate, call: HeldCall): Promise<void> {
    for (let turn = gate.enter(call); turn !== 'go'; turn = gate.enter(call)) {
      if (turn === 'wait') return
      await turn
    }
    await runCall(call, running)
    gate.leave(call)
  }

  function everySecond(looking: Promise<unknown>): void {
    looked = looking
    void takeOver()
    gate
      ?.withdraw(
        ({ call }) => options.isEnding(call.runId),
        (call) => isOver(call, running),
      )
      .catch((error: Error) => log.warn({ err: error }, 'calls that wait could not be asked about'))
  }

  async function settle(): Promise<void> {
    clearTimeout(settleTimer)
    const pipeline = redis.pipeline()
    held.settle(pipeline)
    // What is not acknowledged comes again, and is then found not to be wanted.
    await pipeline.exec().catch((error: Error) => log.warn({ err: error }, 'entries could not be acknowledged'))
  }

  async function takeOver(): Promise<void> {
    if (claiming) return
    claiming = true
    await takeOverAll()
      .catch((error: Error) => log.warn({ err: error }, 'calls of other workers could not be looked for'))
      .finally(() => {
        claiming = false
      })
  }

  async function takeOverAll(): Promise<void> {
    try {
      if (earlierLives && (await takeOverFromEarlierLives(incoming, earlierLives))) earlierLives = undefined
    } finally {
      await takeOverCalls(incoming, options.takeoverMs)
    }
  }

  async function stop(graceMs: number): Promise<void> {
    stopping.abort()
    await reading
    await handBack({ redis, held, calls: [...slots.drain(), ...(gate?.drain() ?? [])], log, resent: false })
    await slots.idle(graceMs)
    leaving = true
    const left = [...held.entries].flatMap((entry) => entry.calls.filter(({ state }) => state !== 'ended'))
    await handBack({ redis, held, calls: left, log, resent: true })
    await facts.close()
    await settle()
  }

  return {
    running: slots.running,
    waiting: slots.waiting,
    async stop(graceMs) {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(() => {
          log.error({ entries: held.entries.size }, 'Redis does not answer, calls are left to others')
          resolve()
        }, graceMs + LEAVE_MS)
      })
      await Promise.race([stop(graceMs), late])
      clearTimeout(timer)
      leaving = true
      alive.stop()
    },
  }
}
