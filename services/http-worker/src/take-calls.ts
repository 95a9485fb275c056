/**
 * The work of this service: reads entries while slots are free, makes each call of a pack in a slot of its own, answers with its own fact.
 * An entry is acknowledged after the facts of all its calls are answered by Redis, never before.
 */
import { type Fact, GROUPS, type HttpCall, keys, PARTITION_COUNT } from '@baton/contracts'
import { claimStale, createFactSender, type Logger, type Redis, readGroup } from '@baton/runtime'
import { failed, type Outcome } from './call-http.ts'
import { type Claim, type ClaimOptions, claimCall } from './claim-call.ts'
import { handBack } from './hand-back.ts'
import { createHeldCalls, type HeldCall } from './held-calls.ts'
import { keepAlive } from './keep-alive.ts'
import { callSeconds, callsDropped, callsEnded, entriesTakenOver } from './metrics.ts'
import { callsEntry } from './read-calls-entry.ts'
import { createSlots } from './slots.ts'

export interface TakeCallsOptions {
  redis: Redis
  consumer: string
  log: Logger
  concurrency: number
  /** A call whose commit is older than this is asked about first. */
  askAfterMs: number
  takeoverMs: number
  crashesMax: number
  isWanted: ClaimOptions['isWanted']
  /** Now, by the clock of Postgres. */
  now(): number
  /** Throws only when something of ours is away; then it is tried again. */
  makeCall(call: HttpCall): Promise<Outcome>
}

export interface CallTaker {
  running(): number
  waiting(): number
  /** Reads no more, lets what runs end within `graceMs`, hands the rest back. */
  stop(graceMs: number): Promise<void>
}

const STREAMS = Array.from({ length: PARTITION_COUNT }, (_, lane) => keys.calls(lane))
const RETRY_MS = 500
/** Acknowledgements wait at most this long for facts to ride with. */
const SETTLE_MS = 50

/** Starts taking calls. */
export function takeCalls(options: TakeCallsOptions): CallTaker {
  const { redis, consumer, log } = options
  const group = GROUPS.calls
  const stopping = new AbortController()
  let leaving = false
  let settleTimer: NodeJS.Timeout | undefined
  const held = createHeldCalls(() => {
    settleTimer = setTimeout(settle, SETTLE_MS)
  })
  const facts = createFactSender(redis, {
    extend(pipeline) {
      clearTimeout(settleTimer)
      held.settle(pipeline)
    },
  })
  const slots = createSlots<HeldCall>(options.concurrency, run)
  const grouped = { redis, group, consumer, schema: callsEntry, log }

  async function settle(): Promise<void> {
    clearTimeout(settleTimer)
    const pipeline = redis.pipeline()
    held.settle(pipeline)
    // What is not acknowledged comes again, and is then found not to be wanted.
    await pipeline.exec().catch((error: Error) => log.warn({ err: error }, 'entries could not be acknowledged'))
  }

  async function run(call: HeldCall): Promise<void> {
    call.state = 'running'
    const claim = mustAsk(call) ? await untilDone(() => claimCall(call, { ...options, redis, consumer })) : 'ours'
    if (leaving) return
    if (claim === 'unwanted' || claim === 'held elsewhere') return drop(call, claim)
    const startedAt = Date.now()
    const outcome = claim === 'too many crashes' ? lostTooOften(options.crashesMax) : await untilDone(() => options.makeCall(call.call))
    if (outcome === undefined || leaving) return
    callSeconds.observe((Date.now() - startedAt) / 1_000)
    await answer(call, startedAt, outcome)
  }

  function mustAsk(call: HeldCall): boolean {
    if (alive.isStalled()) call.entry.doubtful = true
    return call.ask || call.entry.doubtful || options.now() - call.call.at > options.askAfterMs
  }

  async function answer(held: HeldCall, startedAt: number, outcome: Outcome): Promise<void> {
    const { runId, path, generation, attempt } = held.call
    const fact: Fact = { kind: 'result', runId, path, generation, attempt, startedAt, outcome }
    await untilDone(() => facts.send(fact))
    callsEnded.inc({ outcome: outcome.status === 'succeeded' ? 'succeeded' : outcome.error.code })
    end(held)
  }

  function drop(held: HeldCall, reason: Claim): void {
    callsDropped.inc({ reason })
    log.debug({ call: held.id, reason }, 'call dropped')
    // The key is whose it says.
    if (reason === 'held elsewhere') held.announced = false
    end(held)
  }

  function end(call: HeldCall): void {
    held.end(call)
  }

  /** Postgres or Redis may be away for a while: what is ours is tried until it works, or until this worker leaves. */
  async function untilDone<T>(action: () => Promise<T>): Promise<T | undefined> {
    for (let failures = 0; !leaving; failures++) {
      try {
        return await action()
      } catch (error) {
        if (failures === 0) log.warn({ err: error }, 'something is away, trying again')
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
    return undefined
  }

  let stallsAtRead = 0
  async function read(): Promise<void> {
    const count = () => {
      stallsAtRead = alive.stalls
      return slots.readCount()
    }
    const onLost = () => log.warn('the stream of calls was lost')
    for await (const entries of readGroup({ ...grouped, streams: STREAMS, count, signal: stopping.signal, onLost })) {
      const ask = alive.stalls !== stallsAtRead || alive.isStalled()
      let calls = 0
      for (const entry of entries) {
        calls += entry.value.length
        slots.add(held.take(entry, { from: undefined, ask }))
      }
      slots.observeRead(entries, calls)
      await slots.room(stopping.signal)
    }
  }

  let claiming = false
  /** Each second: what dead workers left. Only as much as there is room for. */
  async function takeOver(): Promise<void> {
    if (claiming || stopping.signal.aborted || slots.free() <= 0) return
    claiming = true
    try {
      const count = Math.max(1, slots.free())
      const stale = await claimStale({ ...grouped, streams: STREAMS, minIdleMs: options.takeoverMs, count })
      for (const entry of stale) {
        // One of our own was delivered on a connection that broke: nobody was lost with it.
        const from = entry.from === consumer ? undefined : entry.from
        slots.add(held.take(entry, { from, ask: true }))
      }
      if (stale.length === 0) return
      entriesTakenOver.inc(stale.length)
      log.info({ entries: stale.length, from: [...new Set(stale.map(({ from }) => from))] }, 'took over calls of silent workers')
    } catch (error) {
      log.warn({ err: error }, 'calls of silent workers could not be looked for')
    } finally {
      claiming = false
    }
  }

  const alive = keepAlive({ held, redis, consumer, log, takeoverMs: options.takeoverMs, everySecond: () => void takeOver() })
  const reading = read()

  return {
    running: slots.running,
    waiting: slots.waiting,
    async stop(graceMs) {
      stopping.abort()
      await reading
      await handBack({ redis, held, calls: slots.drain(), log, resent: false })
      await slots.idle(graceMs)
      leaving = true
      const left = [...held.entries].flatMap((entry) => entry.calls.filter(({ state }) => state === 'running'))
      await handBack({ redis, held, calls: left, log, resent: true })
      alive.stop()
      await facts.close()
      await settle()
    },
  }
}

function lostTooOften(crashesMax: number): Outcome {
  return failed('BTN_WORKER_LOST', `the call lost its worker ${crashesMax} times`, true)
}
