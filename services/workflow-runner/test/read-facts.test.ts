/** How facts come in: nothing is read ahead of the loop. */
import { randomUUID } from 'node:crypto'
import { ENTRY_FIELD, type Fact, GROUPS, keys } from '@baton/contracts'
import { connectRedis, createLogger } from '@baton/runtime'
import { testRedis, until } from '@baton/testing'
import t, { type Test } from 'tap'
import type { Advance } from '../src/advance.ts'
import { createAdvanceLoop, type Item } from '../src/advance-loop.ts'
import { readFacts } from '../src/read-facts.ts'

const PARTITION = 3
const ENTRIES_MAX = 10
const STREAM = keys.facts(PARTITION)
const log = createLogger({ name: 'test', level: 'silent' })

async function setup(t: Test) {
  const server = await testRedis(t)
  const redis = connectRedis(server.url, { name: 'test' })
  t.teardown(() => redis.disconnect())
  const add = (...runIds: string[]) => addTo(PARTITION, ...runIds)
  const addTo = (partition: number, ...runIds: string[]) =>
    redis.xadd(keys.facts(partition), '*', ENTRY_FIELD, JSON.stringify(runIds.map((runId): Fact => ({ kind: 'start', runId }))))
  /** How many entries each consumer holds. */
  const held = async () => {
    const [, , , consumers] = (await redis.xpending(STREAM, GROUPS.facts)) as [number, unknown, unknown, [string, string][] | null]
    return Object.fromEntries((consumers ?? []).map(([name, count]) => [name, Number(count)]))
  }
  return { server, redis, add, addTo, held }
}

/** A runner whose batches end when `gate` says so, on a connection of its own. */
async function startRunner(t: Test, url: string, consumer: string, gate: () => Promise<void>, partitions = [PARTITION]) {
  const redis = connectRedis(url, { name: consumer })
  const batches: string[][] = []
  const store = {
    async loadRuns(runIds: string[]) {
      batches.push([...runIds].sort())
      await gate()
      return new Map()
    },
  }
  const loop = createAdvanceLoop({ store, cache: new Map(), log } as unknown as Advance, 100)
  const reader = readFacts({
    redis,
    consumer,
    partitions: () => partitions,
    entriesMax: ENTRIES_MAX,
    claimAfterMs: 60_000,
    now: () => Date.now(),
    offer: loop.offer,
    caughtUp: loop.caughtUp,
    onLost: () => {},
    log,
  })
  t.teardown(async () => {
    await reader.stop()
    redis.disconnect()
  })
  await reader.takeOver(partitions)
  return { redis, loop, reader, batches }
}

t.test('what comes while a batch is under way is read when it has ended, all at once', async (t) => {
  const { server, add, held } = await setup(t)
  let gate = Promise.withResolvers<void>()
  const { loop, reader, batches } = await startRunner(t, server.url, 'a', () => gate.promise)
  const ids = Array.from({ length: 5 }, () => randomUUID())
  await add(ids[0]!)
  await until(() => batches.length === 1)
  for (const id of ids.slice(1)) await add(id)
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.same(await held(), { a: 1 })
  const first = gate
  gate = Promise.withResolvers()
  first.resolve()
  await until(() => batches.length === 2)
  t.same(batches[1], ids.slice(1).sort())
  gate.resolve()
  await reader.stop()
  await loop.stop()
})

t.test('a read brings as much whether one partition is held or several', async (t) => {
  for (const partitions of [[PARTITION], [PARTITION, 5]]) {
    const { server, addTo } = await setup(t)
    let gate = Promise.withResolvers<void>()
    const { loop, reader, batches } = await startRunner(t, server.url, 'a', () => gate.promise, partitions)
    await addTo(PARTITION, randomUUID())
    await until(() => batches.length === 1)
    for (let n = 0; n < ENTRIES_MAX * 2; n++) await addTo(partitions[n % partitions.length]!, randomUUID())
    const first = gate
    gate = Promise.withResolvers()
    first.resolve()
    await until(() => batches.length === 2)
    t.equal(batches[1]!.length, ENTRIES_MAX, `of ${partitions.length}`)
    gate.resolve()
    await reader.stop()
    await loop.stop()
  }
})

t.test('a runner killed in the middle of a batch keeps no more than that from the one who takes the partition', async (t) => {
  const { server, add, held } = await setup(t)
  const killed = await startRunner(t, server.url, 'a', () => new Promise(() => {}))
  const [first, ...rest] = Array.from({ length: 4 }, () => randomUUID())
  await add(first!)
  await until(() => killed.batches.length === 1)
  for (const id of rest) await add(id)
  killed.redis.disconnect()
  const { loop, reader, batches } = await startRunner(t, server.url, 'b', async () => {})
  await until(() => batches.flat().length === rest.length)
  t.same(batches.flat().sort(), [...rest].sort())
  await reader.stop()
  await loop.stop()
  await reader.settle()
  t.same(await held(), { a: 1 }, 'the batch itself is claimed after a silence')
})

t.test('a read that is blocked is ended when partitions change hands, whether one comes or goes', async (t) => {
  const { server, redis, add, addTo } = await setup(t)
  const partitions = [PARTITION]
  const { batches, reader } = await startRunner(t, server.url, 'r', async () => {}, partitions)
  const isBlocked = async () => ((await redis.client('LIST')) as string).split('\n').some((line) => line.includes(' flags=b '))
  const ends = async () => Number(/cmdstat_client\|unblock:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0)
  await add('a')
  await until(() => batches.length === 1)
  await until(isBlocked)
  partitions.push(PARTITION + 1)
  await reader.takeOver([PARTITION + 1])
  await until(async () => (await ends()) > 0)
  await addTo(PARTITION + 1, 'b')
  await until(() => batches.length === 2)
  await until(isBlocked)
  const before = await ends()
  partitions.shift()
  await reader.takeOver([])
  await until(async () => (await ends()) > before)
  await add('c')
  await addTo(PARTITION + 1, 'd')
  await until(() => batches.length === 3)
  t.same(batches, [['a'], ['b'], ['d']])
})

t.test('a reader that stops does not wait for a batch that does not end', { timeout: 10_000 }, async (t) => {
  const { server, add } = await setup(t)
  const { reader, batches } = await startRunner(t, server.url, 'a', () => new Promise(() => {}))
  await add(randomUUID())
  await until(() => batches.length === 1)
  await reader.stop()
  t.equal(batches.length, 1)
})

t.test('an entry that was in hand for long tells whether another has taken it over', async (t) => {
  const { server, redis, add } = await setup(t)
  const items: Item[] = []
  let ahead = -60_000
  const own = connectRedis(server.url, { name: 'a' })
  const reader = readFacts({
    redis: own,
    consumer: 'a',
    partitions: () => [PARTITION],
    entriesMax: ENTRIES_MAX,
    claimAfterMs: 1,
    now: () => Date.now() + ahead,
    offer: async (offered) => void items.push(...offered),
    caughtUp: async () => {},
    onLost: () => {},
    log,
  })
  t.teardown(async () => {
    await reader.stop()
    own.disconnect()
  })
  await reader.takeOver([PARTITION])
  const id = await add(randomUUID())
  await until(() => items.length === 1)
  const wasTaken = () => items[0]!.deliveries[0]!.wasTaken!()
  await redis.xclaim(STREAM, GROUPS.facts, 'b', 0, id!)
  t.equal(wasTaken(), false, 'nobody takes over what is not old, so Redis is not asked')
  ahead = 60_000
  t.equal(await wasTaken(), true)
  const silent = async () => ((await redis.xpending(STREAM, GROUPS.facts, 'IDLE', 2, '-', '+', 2)) as unknown[]).length
  await until(async () => (await silent()) === 1)
  await reader.claim()
  t.equal(await wasTaken(), true, 'also when it was claimed back')
  t.equal(items.length, 1)
  await add(randomUUID())
  await until(() => items.length === 2)
  await until(async () => (await silent()) === 2)
  await reader.claim()
  t.equal(await items[1]!.deliveries[0]!.wasTaken!(), false, 'only we had it, however often')
})
