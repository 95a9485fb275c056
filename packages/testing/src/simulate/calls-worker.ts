/**
 * A http-worker, told in short: takes entries of calls, makes each call of a pack by itself, answers with a fact, acknowledges the entry when
 * all of it is answered. What may be late or doubled it asks about first. It keeps alive what it holds and takes over what others hold in silence.
 */
import { callIdOf, ENTRY_FIELD, type Fact, GROUPS, type HttpCall, keys, PARTITION_COUNT, partitionOf } from '@baton/contracts'
import type { Checker } from './checker.ts'
import type { MemoryRedis } from './memory-redis.ts'
import type { Tables } from './memory-tables.ts'
import { connectMemoryRedis, type RedisWorld } from './redis-client.ts'
import type { Process } from './scheduler.ts'
import { answerOf, type Outcome } from './shop.ts'
import { POISON } from './store-client.ts'

export interface WorkerWorld extends RedisWorld {
  server: MemoryRedis
  tables: Tables
  checker: Checker
  /** Runs that were given a value which Postgres refuses. */
  poisoned: Set<string>
  trace(line: () => string): void
}

interface Entry {
  stream: string
  id: string
  open: number
  since: number
  ask: boolean
  calls: Set<string>
}

type Raw = [id: string, fields: string[] | null][]

const LANES = Array.from({ length: PARTITION_COUNT }, (_, lane) => keys.calls(lane))
const ASK_AFTER_MS = 10_000
const SENT_LATE_MS = 500
const TAKEOVER_MS = 3_000
const STALL_MS = 1_750
const INFLIGHT_MS = 5_000

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** Starts the worker as the process; call it inside of it. */
export function startCallsWorker(world: WorkerWorld, process: Process): void {
  const { scheduler, weather, dice, server, tables, checker } = world
  const redis = connectMemoryRedis(world, process)
  const reader = connectMemoryRedis(world, process)
  const entries = new Set<Entry>()
  const held = new Set<string>()
  let lastTick = scheduler.now()
  let known = false
  let stalls = 0

  function take(stream: string, raw: Raw, ask: boolean): void {
    for (const [id, fields] of raw) {
      if (fields === null || [...entries].some((entry) => entry.stream === stream && entry.id === id)) continue
      const calls = (JSON.parse(fields[1]!) as HttpCall[]).filter((call) => !held.has(callIdOf(call)))
      const entry = { stream, id, open: calls.length, since: scheduler.now(), ask, calls: new Set(calls.map(callIdOf)) }
      entries.add(entry)
      for (const callId of entry.calls) held.add(callId)
      for (const call of calls) void work(call, entry)
      if (calls.length === 0) void acknowledge(entry)
    }
  }

  function isLate(call: HttpCall, entry: Entry): boolean {
    const ageMs = tables.now() - call.at
    const [seconds, micros] = server.execute('time', [], process.name) as [string, string]
    const waitedMs = Number(seconds) * 1_000 + Number(micros) / 1_000 - Number(entry.id.split('-')[0])
    return ageMs > ASK_AFTER_MS || ageMs - waitedMs > SENT_LATE_MS || scheduler.now() - lastTick > STALL_MS
  }

  async function work(call: HttpCall, entry: Entry): Promise<void> {
    await pause(dice.between(0, 30))
    if (weather.chance('ghost')) await send(ghostOf(call))
    const verdict = entry.ask || call.resent || isLate(call, entry) ? claim(call) : 'ours'
    if (verdict === 'ours') {
      checker.made(call)
      await pause(weather.chance('longCall') ? dice.between(1_000, 9_000) : dice.between(0, 200))
      await tell(call, outcomeOf(call))
    } else if (verdict === 'unwanted') {
      await tell(call, { status: 'failed', error: { code: 'BTN_WITHDRAWN', message: 'not made' }, retryable: false })
    }
    held.delete(callIdOf(call))
    entry.calls.delete(callIdOf(call))
    if (--entry.open === 0) await acknowledge(entry)
  }

  /** Asked and begun at one moment. */
  function claim(call: HttpCall): 'ours' | 'unwanted' | 'held elsewhere' {
    const key = keys.inflight(callIdOf(call))
    const holder = server.execute('get', [key], process.name)
    if (!tables.isWanted(call)) return holder === null || holder === process.name ? 'unwanted' : 'held elsewhere'
    if (holder !== null && holder !== process.name && call.resent) return 'held elsewhere'
    server.execute('set', [key, process.name, 'PX', INFLIGHT_MS], process.name)
    return 'ours'
  }

  function outcomeOf(call: HttpCall): Outcome {
    const outcome = answerOf(call)
    if (outcome.status === 'failed' || !weather.chance('poison')) return outcome
    world.poisoned.add(call.runId)
    return { status: 'succeeded', output: { text: POISON } }
  }

  async function tell(call: HttpCall, outcome: Outcome): Promise<void> {
    const { runId, path, generation, attempt } = call
    const fact: Fact = { kind: 'result', runId, path, generation, attempt, startedAt: Date.now(), outcome }
    await send(fact)
    if (weather.chance('doubled')) void pause(dice.chance(0.5) ? 0 : dice.between(0, 5_000)).then(() => send(fact))
  }

  async function send(fact: Fact): Promise<void> {
    for (;;) {
      try {
        await redis.xadd(keys.facts(partitionOf(fact.runId)), '*', ENTRY_FIELD, JSON.stringify([fact]))
        return
      } catch {
        await pause(500)
      }
    }
  }

  async function acknowledge(entry: Entry): Promise<void> {
    entries.delete(entry)
    await redis.pipeline().xdel(entry.stream, entry.id).xack(entry.stream, GROUPS.calls, entry.id).exec()
  }

  async function read(): Promise<void> {
    for (;;) {
      try {
        if (!known) for (const lane of LANES) await redis.xgroup('CREATE', lane, GROUPS.calls, '0', 'MKSTREAM').catch(() => {})
        known = true
        const args = ['GROUP', GROUPS.calls, process.name, 'COUNT', 5, 'BLOCK', 1_000, 'STREAMS', ...LANES, ...LANES.map(() => '>')]
        const before = stalls
        const read = ((await reader.xreadgroup(...args)) as [string, Raw][] | null) ?? []
        // What was delivered before this process stood still may be another's by now.
        for (const [stream, raw] of read) take(stream, raw, stalls !== before || scheduler.now() - lastTick > STALL_MS)
      } catch {
        known = false
        await pause(200)
      }
    }
  }

  async function tick(): Promise<void> {
    if (scheduler.now() - lastTick > STALL_MS) {
      stalls++
      for (const entry of entries) entry.ask = true
    }
    lastTick = scheduler.now()
    for (const entry of entries) {
      if (scheduler.now() - entry.since < 1_000) continue
      for (const callId of entry.calls) void redis.set(keys.inflight(callId), process.name, 'PX', INFLIGHT_MS).catch(() => {})
      void redis.xclaim(entry.stream, GROUPS.calls, process.name, 0, entry.id, 'JUSTID').catch(() => {})
    }
    const look = redis.pipeline()
    for (const lane of LANES) look.xpending(lane, GROUPS.calls, 'IDLE', TAKEOVER_MS, '-', '+', 10)
    for (const [index, [, rows]] of (await look.exec()).entries()) {
      const ids = ((rows as [string][] | undefined) ?? []).map(([id]) => id)
      if (ids.length === 0) continue
      const raw = await redis.xclaim(LANES[index]!, GROUPS.calls, process.name, TAKEOVER_MS, ids).catch(() => [])
      take(LANES[index]!, raw as Raw, true)
    }
  }

  setInterval(() => void tick(), 1_000)
  void read()
}

/** What an earlier attempt, or an earlier generation, would say now. */
function ghostOf(call: HttpCall): Fact {
  const { runId, path, generation, attempt } = call
  const startedAt = Date.now()
  if (attempt > 1) {
    const outcome = answerOf({ ...call, attempt: attempt - 1 })
    return { kind: 'result', runId, path, generation, attempt: attempt - 1, startedAt, outcome }
  }
  return {
    kind: 'result',
    runId,
    path,
    generation: generation - 1,
    attempt,
    startedAt,
    outcome: { status: 'succeeded', output: { n: -1 } },
  }
}
