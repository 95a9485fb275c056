/** A Redis, calls put into it, facts read from it, and workers in this process or in others. */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { ENTRY_FIELD, type Fact, GROUPS, type HttpCall, keys, PARTITION_COUNT } from '@baton/contracts'
import { connectRedis, createLogger, ensureGroup, type Redis } from '@baton/runtime'
import { endProcess, type Teardown, type TestRedis, testRedis, until } from '@baton/testing'
import { type CallTaker, type TakeCallsOptions, takeCalls } from '../src/take-calls.ts'

export type Result = Extract<Fact, { kind: 'result' }>

export interface Harness {
  server: TestRedis
  redis: Redis
  /** Puts one entry into a lane. */
  send(calls: HttpCall[], lane?: number): Promise<string>
  /** All results in all partitions so far. */
  results(): Promise<Result[]>
  /** Waits for that many results. */
  resultsOf(count: number): Promise<Result[]>
  /** Entries that are read and not acknowledged, over all lanes. */
  pending(): Promise<number>
  worker(options: Partial<TakeCallsOptions> & Pick<TakeCallsOptions, 'makeCall'>): CallTaker
  workerProcess(env?: Record<string, string>, concurrency?: number): Promise<ChildProcess>
}

export async function startHarness(t: Teardown): Promise<Harness> {
  const server = await testRedis(t)
  const redis = connectRedis(server.url, { name: 'test' })
  t.teardown(() => redis.disconnect())
  // This Redis has had its data for a while.
  await redis.set(keys.sentinel, Date.now() - 60_000)
  const lanes = Array.from({ length: PARTITION_COUNT }, (_, lane) => lane)
  let workers = 0

  async function results(): Promise<Result[]> {
    const found: Result[] = []
    for (const lane of lanes) {
      for (const [, fields] of await redis.xrange(keys.facts(lane), '-', '+')) found.push(...(JSON.parse(fields[1]!) as Result[]))
    }
    return found
  }

  return {
    server,
    redis,
    async send(calls, lane = 0) {
      return (await redis.xadd(keys.calls(lane), '*', ENTRY_FIELD, JSON.stringify(calls)))!
    },
    results,
    resultsOf: (count) =>
      until(
        async () => {
          const found = await results()
          return found.length >= count && found
        },
        { timeoutMs: 20_000, what: `${count} results` },
      ),
    async pending() {
      let sum = 0
      for (const lane of lanes) {
        await ensureGroup(redis, keys.calls(lane), GROUPS.calls)
        sum += ((await redis.xpending(keys.calls(lane), GROUPS.calls)) as [number])[0]
      }
      return sum
    },
    worker(options) {
      const connection = connectRedis(server.url, { name: 'test-worker' })
      const taker = takeCalls({
        redis: connection,
        consumer: `worker-${++workers}`,
        log: createLogger({ name: 'test', level: process.env.LOG_LEVEL ?? 'silent' }),
        concurrency: 128,
        askAfterMs: 10_000,
        takeoverMs: 3_000,
        crashesMax: 3,
        isWanted: async () => true,
        isEnding: () => false,
        now: Date.now,
        ...options,
      })
      t.teardown(async () => {
        await taker.stop(0)
        connection.disconnect()
      })
      return taker
    },
    async workerProcess(env = {}, concurrency = 128) {
      const script = fileURLToPath(new URL('worker-process.ts', import.meta.url))
      const args = ['--conditions=@baton/source', '--no-warnings', script, server.url, String(concurrency)]
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } })
      t.teardown(() => endProcess(child, 'SIGKILL'))
      await new Promise((resolve, reject) => {
        child.once('exit', reject)
        child.stdout!.once('data', resolve)
      })
      return child
    },
  }
}
