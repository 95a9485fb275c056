/**
 * Two real http-workers between a Redis and a weather that are simulated. Packs of calls come in, some calls twice; whoever records the results
 * is told in short. Whatever is random comes from the seed.
 */
import { callIdOf, ENTRY_FIELD, type Fact, type HttpCall, keys } from '@baton/contracts'
import { type Logger, NotBegun, type Redis } from '@baton/runtime'
import {
  connectMemoryRedis,
  createDice,
  createMemoryRedis,
  createScheduler,
  type Dice,
  drawWeather,
  EPOCH,
  expose,
  installClock,
  type MemoryRedis,
  type RedisWorld,
} from '@baton/testing/simulate'
import type { takeCalls } from '../src/take-calls.ts'
import { redisOfWorkers } from './worker-redis.ts'

export type TakeCalls = typeof takeCalls

const CALM_MS = 12_000
const REST_MS_MAX = 120_000
const STEPS_MAX = 100_000
const TAKEOVER_MS = 3_000

const log = { debug() {}, info() {}, warn() {}, error() {} } as unknown as Logger

/** What is known of the calls. */
interface Book {
  calls: Map<string, HttpCall>
  made: Map<string, number>
  /** Calls whose result stands in a stream of facts. */
  answered: Set<string>
  /** Calls whose result is recorded: they are not wanted any more. */
  recorded: Set<string>
  violation: string | undefined
}

/** Simulates the seed; gives what went wrong. */
export async function simulateWorkers(seed: number, take: TakeCalls): Promise<string | undefined> {
  const dice = createDice(seed)
  const scheduler = createScheduler()
  const weather = drawWeather(dice)
  const book: Book = { calls: new Map(), made: new Map(), answered: new Set(), recorded: new Set(), violation: undefined }
  const server = redisOfWorkers(
    createMemoryRedis(() => EPOCH + Math.floor(scheduler.now()), {
      added(stream, entry) {
        if (!stream.startsWith('facts:')) return
        const results = (JSON.parse(entry.fields[1]!) as Fact[]).filter((fact) => fact.kind === 'result').map(callIdOf)
        for (const id of results) book.answered.add(id)
        scheduler.after(dice.between(5, 1_500), () => {
          for (const id of results) book.recorded.add(id)
          server.streams.delete(stream, [entry.id])
        })
      },
      acknowledged: (stream, entry) => checkGone(stream, entry, server, book),
      deleted(stream, entry, isOpen) {
        if (isOpen) checkGone(stream, entry, server, book)
      },
    }),
  )
  const world: RedisWorld = { server, scheduler, weather, dice: dice.fork(), awayUntil: 0 }
  const restore = installClock(scheduler)
  try {
    for (const name of ['worker-0', 'worker-1']) live(world, book, name, take)
    dispatch(world, book)
    scheduler.after(CALM_MS, weather.calmDown)
    const isOver = () => book.violation !== undefined || scheduler.now() > REST_MS_MAX || isAtRest(world, book)
    if (!(await scheduler.run(isOver, STEPS_MAX))) return 'it goes on and on'
    if (!book.violation && !isAtRest(world, book)) return stuck(book)
    return book.violation
  } finally {
    restore()
  }
}

/** A worker that comes back when it was killed. */
function live(world: RedisWorld, book: Book, name: string, take: TakeCalls): void {
  const { scheduler, weather, dice } = world
  const process = scheduler.spawn(name)
  expose(process, scheduler, weather, dice, () => scheduler.after(dice.between(100, 3_000), () => live(world, book, name, take)))
  scheduler.enter(process, () => {
    take({
      redis: connectMemoryRedis(world, process) as unknown as Redis,
      consumer: name,
      log,
      concurrency: dice.pick([1, 4, 50]),
      takeoverMs: TAKEOVER_MS,
      askAfterMs: 10_000,
      crashesMax: 1_000,
      now: () => EPOCH + scheduler.now(),
      isWanted: async (held) => !book.recorded.has(held.id),
      isEnding: () => false,
      makeCall: (call, mayBegin) => make(world, book, call, mayBegin),
    })
  })
}

async function make({ weather, dice }: RedisWorld, book: Book, call: HttpCall, mayBegin: () => boolean) {
  const id = callIdOf(call)
  // Names are looked up, and a connection is opened.
  if (dice.chance(0.1)) await new Promise((resolve) => setTimeout(resolve, dice.between(0, 7_000)))
  if (!mayBegin()) throw new NotBegun()
  book.made.set(id, (book.made.get(id) ?? 0) + 1)
  if (book.recorded.has(id)) book.violation ??= `call ${id} was made after its success was recorded`
  if (book.made.get(id)! > 1 && [...weather.faults.keys()].every((fault) => fault === 'longCall'))
    book.violation ??= `call ${id} was made twice without need`
  const ms = weather.chance('longCall') ? dice.between(1_000, 9_000) : dice.between(0, 300)
  await new Promise((resolve) => setTimeout(resolve, ms))
  return { status: 'succeeded' as const, output: null }
}

/** Packs of calls; some calls are sent once more, in other company. */
function dispatch({ server, scheduler, weather, dice }: RedisWorld, book: Book): void {
  const put = (calls: HttpCall[]) => {
    server.execute('xadd', [keys.calls(dice.below(2)), '*', ENTRY_FIELD, JSON.stringify(calls)], 'dispatcher')
  }
  const fresh = (n: number): HttpCall => {
    const runId = `01920000-0000-7000-8000-${String(n).padStart(12, '0')}`
    const request = { method: 'GET', url: 'http://x.example/' }
    return { runId, namespace: 'default', path: 'a', generation: 0, attempt: 1, at: Date.now(), timeoutMs: 30_000, request }
  }
  let count = 0
  for (let n = 3 + dice.below(8); n > 0; n--) {
    scheduler.after(dice.between(0, CALM_MS - 2_000), () => {
      const calls = Array.from({ length: 1 + dice.below(6) }, () => fresh(count++))
      for (const call of calls) book.calls.set(callIdOf(call), call)
      put([...calls, ...again(book, weather.chance('doubled'), dice)])
    })
  }
  // What was lost is found by the reconciler, and sent again.
  const sweep = () => {
    const lost = [...book.calls.values()].filter((call) => isLost(server, book, call, Date.now() - 4_000))
    if (lost.length > 0) put(lost.map((call) => ({ ...call, resent: true })))
    scheduler.after(2_000, sweep)
  }
  scheduler.after(4_000, sweep)
}

function again({ calls }: Book, isDoubled: boolean, dice: Dice): HttpCall[] {
  return isDoubled ? [...calls.values()].filter(() => dice.chance(0.2)).map((call) => ({ ...call, resent: true })) : []
}

function isLost(server: MemoryRedis, { answered }: Book, call: HttpCall, before: number): boolean {
  const id = callIdOf(call)
  if (answered.has(id) || call.at > before || server.execute('exists', [keys.inflight(id)], 'reconciler') !== 0) return false
  return !stands(server, id)
}

function stands(server: MemoryRedis, id: string, except?: { id: string }): boolean {
  return [...server.streams.all].some(
    ([name, { entries }]) =>
      name.startsWith('calls:') &&
      entries.some(
        (entry) => entry.id !== except?.id && (JSON.parse(entry.fields[1]!) as HttpCall[]).some((call) => callIdOf(call) === id),
      ),
  )
}

/** An entry leaves its stream when each of its calls is answered, or is made by somebody, or stands in another entry. */
function checkGone(stream: string, gone: { id: string; fields: string[] }, server: MemoryRedis, book: Book): void {
  if (!stream.startsWith('calls:')) return
  for (const call of JSON.parse(gone.fields[1]!) as HttpCall[]) {
    const id = callIdOf(call)
    const isHeld = server.execute('exists', [keys.inflight(id)], server.actor) !== 0 || book.made.has(id) || stands(server, id, gone)
    if (!book.answered.has(id) && !isHeld) book.violation ??= `the entry of call ${id} was taken away before the call was made`
  }
}

function isAtRest({ server, scheduler }: RedisWorld, { calls, answered }: Book): boolean {
  if (scheduler.now() < CALM_MS || [...calls.keys()].some((id) => !answered.has(id))) return false
  return [...server.streams.all].every(([name, { entries }]) => !name.startsWith('calls:') || entries.length === 0)
}

function stuck({ calls, answered, made }: Book): string {
  const open = [...calls.keys()].filter((id) => !answered.has(id)).map((id) => `${id} (made ${made.get(id) ?? 0} times)`)
  return `it does not come to rest: ${open.join(', ') || 'entries of calls are left'}`
}
