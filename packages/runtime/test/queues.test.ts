/** Slow work: one job per id, checked at both ends, delivered again after a failure, handed back at the end. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { endProcess, type Teardown, testRedis, until } from '@baton/testing'
import t from 'tap'
import { z } from 'zod'
import { type ConsumeOptions, consume, createLogger, createProducer, defineQueue, type JobContext } from '../src/index.ts'

const log = createLogger({ name: 'test', level: 'silent' })
const queue = defineQueue({ name: 'things', schema: z.object({ id: z.string(), n: z.number() }), id: (job) => `thing.${job.id}` })
type Thing = { id: string; n: number }

async function start(t: Teardown) {
  const { url } = await testRedis(t)
  const producer = createProducer(queue, url)
  t.teardown(() => producer.close())
  const consumer = (handler: (job: Thing, context: JobContext) => Promise<void>, more: Partial<ConsumeOptions> = {}) => {
    const made = consume(queue, { redisUrl: url, concurrency: 5, log, ...more }, handler)
    t.teardown(() => made.close(0))
    return made
  }
  return { producer, consumer, url }
}

t.test('a job whose id waits already is not added twice, and may come again when it is done', async (t) => {
  const { producer, consumer } = await start(t)
  await producer.add({ id: 'a', n: 1 })
  await producer.add({ id: 'a', n: 2 })
  await producer.addMany([
    { id: 'b', n: 3 },
    { id: 'c', n: 4 },
  ])
  t.equal(await producer.depth(), 3)
  const seen: number[] = []
  consumer(async (job) => void seen.push(job.n))
  await until(() => seen.length === 3)
  await until(async () => (await producer.depth()) === 0)
  await producer.add({ id: 'a', n: 5 })
  await until(() => seen.length === 4)
  t.same(seen.sort(), [1, 3, 4, 5])
})

t.test('jobs of the wrong shape and ids that BullMQ mistakes are refused where they are made', async (t) => {
  const { producer } = await start(t)
  await t.rejects(producer.add({ id: 'a', n: 'x' } as never), /expected number/)
  t.throws(() => defineQueue({ ...queue, name: 'a:b' }), /queue name/)
  const { url } = await testRedis(t)
  const numbers = createProducer({ ...queue, id: () => '12' }, url)
  t.teardown(() => numbers.close())
  await t.rejects(numbers.add({ id: 'a', n: 1 }), /no colons, not a number/)
})

t.test('a job that fails comes again, and is given up with its last error', async (t) => {
  const { producer, consumer } = await start(t)
  const deliveries: number[] = []
  const given: unknown[] = []
  const handler = async (_job: Thing, { delivery }: JobContext) => {
    deliveries.push(delivery)
    throw new Error(`failure ${delivery}`)
  }
  consumer(handler, { onGivenUp: (job, error) => void given.push(job, error.message) })
  await producer.add({ id: 'x', n: 1 })
  await until(() => given.length > 0, { timeoutMs: 20_000 })
  t.same(deliveries, [1, 2, 3])
  t.same(given, [{ id: 'x', n: 1 }, 'failure 3'])
})

t.test('closing waits for jobs that run, and aborts those that do not end', async (t) => {
  const { producer, consumer } = await start(t)
  let aborted = false
  let started = 0
  const made = consumer(async (_job, { signal }) => {
    started++
    await new Promise<void>((resolve) =>
      signal.addEventListener('abort', () => {
        aborted = true
        resolve()
      }),
    )
  })
  await producer.add({ id: 'x', n: 1 })
  await until(() => started === 1)
  await made.close(50)
  t.ok(aborted)
})

/** In a process of its own: what BullMQ leaves behind when Redis went away would keep this one from ending. */
const LEAVING = `
import { consume, createLogger, createProducer, defineQueue } from '@baton/runtime'
import { z } from 'zod'
const queue = defineQueue({ name: 'things', schema: z.object({ id: z.string() }), id: (job) => job.id })
const log = createLogger({ name: 'test', level: 'silent' })
const consumer = consume(queue, { redisUrl: process.env.REDIS_URL, concurrency: 1, log }, async (_job, { signal }) => {
  console.log('begun')
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
})
await createProducer(queue, process.env.REDIS_URL).add({ id: 'a' })
process.once('SIGTERM', () => void consumer.close(500).then(() => process.exit(0)))
`

t.test('closing ends in time also when Redis goes away meanwhile', async (t) => {
  const server = await testRedis(t)
  const child = spawn(process.execPath, ['--conditions=@baton/source', '--no-warnings', '--input-type=module', '-e', LEAVING], {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, REDIS_URL: server.url },
  })
  t.teardown(() => endProcess(child, 'SIGKILL'))
  await once(child.stdout, 'data')
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  await server.kill()
  t.same(await Promise.race([exited, new Promise((resolve) => setTimeout(resolve, 6_000, 'still there'))]), [0, null])
})
