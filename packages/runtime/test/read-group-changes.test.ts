/** A blocked read follows a change of what is to be read at once, whenever the change comes. */
import { setTimeout as delay } from 'node:timers/promises'
import { ENTRY_FIELD } from '@baton/contracts'
import { type Teardown, testRedis, until } from '@baton/testing'
import t from 'tap'
import { z } from 'zod'
import { connectRedis, createLogger, readGroup } from '../src/index.ts'

const log = createLogger({ name: 'test', level: 'silent' })
const schema = z.object({ n: z.number() })

/** Reads what `read` names at the time; a read that nothing ends would block for longer than any test. */
async function start(t: Teardown, read: string[], lateMs = 0) {
  const server = await testRedis(t)
  const redis = connectRedis(server.url, { name: 'test' })
  if (lateMs > 0) sendReadsLate(redis, lateMs)
  const changes = new EventTarget()
  const stopping = new AbortController()
  const seen: string[] = []
  let streams = read
  const asked: ((names: string[]) => void)[] = []
  const ask = () => {
    for (const heard of asked) heard(streams)
    return streams
  }
  const options = { redis, group: 'g', consumer: 'c', count: 10, schema, log, blockMs: 600_000, changes, signal: stopping.signal }
  const done = (async () => {
    for await (const batch of readGroup({ ...options, streams: ask })) {
      seen.push(...batch.map(({ stream, value }) => `${stream}${value.n}`))
    }
  })()
  t.teardown(async () => {
    stopping.abort()
    await done
    redis.disconnect()
  })
  return {
    redis,
    seen,
    /** Called with what the next read is going to ask for. */
    asked,
    add: (stream: string, n: number) => redis.xadd(stream, '*', ENTRY_FIELD, JSON.stringify({ n })),
    change(next: string[]) {
      streams = next
      changes.dispatchEvent(new Event('change'))
    },
    async isBlocked() {
      const clients = (await redis.client('LIST')) as string
      return clients.split('\n').some((line) => line.includes(' flags=b ') && line.includes('cmd=xreadgroup'))
    },
  }
}

/** Connections for reading that send their reads so much later. */
function sendReadsLate(redis: ReturnType<typeof connectRedis>, lateMs: number): void {
  const duplicate = redis.duplicate.bind(redis)
  redis.duplicate = (options) => {
    const reading = duplicate(options)
    const send = reading.xreadgroup.bind(reading) as (...args: unknown[]) => Promise<unknown>
    return Object.assign(reading, { xreadgroup: (...args: unknown[]) => delay(lateMs).then(() => send(...args)) })
  }
}

t.test('a read that is blocked ends, and the next one asks for what is to be read now', async (t) => {
  const { add, change, seen, isBlocked } = await start(t, ['a'])
  await add('a', 1)
  await until(() => seen.length === 1)
  await until(isBlocked)
  change(['b'])
  await add('b', 2)
  await until(() => seen.length === 2)
  await add('a', 3)
  await add('b', 4)
  await until(() => seen.length === 3)
  t.same(seen, ['a1', 'b2', 'b4'])
})

t.test('who had nothing to read begins at once', async (t) => {
  const { add, change, seen } = await start(t, [])
  await add('a', 1)
  change(['a'])
  await until(() => seen.length === 1)
  change([])
  change(['b'])
  await add('b', 2)
  await until(() => seen.length === 2)
  t.same(seen, ['a1', 'b2'])
})

t.test('a change is seen soon while the id of the connection is not known', async (t) => {
  const { add, change, seen, isBlocked } = await start(t, ['a'])
  await until(isBlocked)
  change(['b'])
  await add('b', 1)
  await until(() => seen.length === 1)
})

t.test('a change while the group of what was to be read is made', async (t) => {
  const { add, change, seen, asked, isBlocked } = await start(t, ['a'])
  await add('a', 1)
  await until(() => seen.length === 1)
  await until(isBlocked)
  asked.push((names) => names[0] === 'b' && setImmediate(() => change(['c'])))
  change(['b'])
  await add('c', 2)
  await until(() => seen.length === 2)
})

t.test('a change while Redis holds writes back (CLIENT PAUSE)', async (t) => {
  const { redis, add, change, seen, isBlocked } = await start(t, ['a', 'b'])
  await add('a', 1)
  await until(() => seen.length === 1)
  await until(isBlocked)
  await redis.client('PAUSE', 500, 'WRITE') // a read of a group is a write
  change(['a'])
  await delay(100)
  change(['b'])
  await delay(600)
  await add('b', 2)
  await until(() => seen.length === 2)
})

t.test('a change that comes to Redis before the read that it ends', async (t) => {
  const { add, change, seen, asked, isBlocked } = await start(t, ['a', 'b'], 100)
  await add('a', 1)
  await until(() => seen.length === 1)
  await until(isBlocked)
  asked.push((names) => names[0] === 'a' && setImmediate(() => change(['b'])))
  change(['a'])
  await add('b', 2)
  await until(() => seen.length === 2)
})

t.test('changes at any moment', async (t) => {
  const { add, change, seen } = await start(t, ['a'])
  for (let n = 1; n <= 200; n++) {
    const stream = `s${n % 7}`
    change([stream])
    if (n % 3 === 0) await delay(n % 5)
    await add(stream, n)
    await until(() => seen.length === n)
  }
  t.same(
    seen,
    Array.from({ length: 200 }, (_, index) => `s${(index + 1) % 7}${index + 1}`),
  )
})
