import { randomUUIDv7 } from 'node:crypto'
import type { StoredEvent } from '@baton/contracts'
import { until } from '@baton/testing'
import t from 'tap'
import type { Delivery } from '../src/encode-events.ts'
import type { History } from '../src/history.ts'
import { createRunFeed, type RunSubscriber } from '../src/run-feed.ts'

/** Uniform in [0, 1), the same for the same seed (mulberry32). */
function createRandom(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A Postgres that answers late and now and then not at all; a run that grows; a live stream that doubles, loses and shuffles. */
function createWorld(seed: number) {
  const random = createRandom(seed)
  const runId = randomUUIDv7()
  const log: StoredEvent[] = []
  const history: History = {
    findRun: async () => undefined,
    lastSeqs: async () => new Map(),
    async listEvents(_runId, after, limit) {
      const rows = log.slice(after, after + limit)
      if (random() < 0.5) await new Promise((resolve) => setTimeout(resolve, random() * 3))
      if (random() < 0.1) throw new Error('Postgres is away')
      return rows
    },
  }
  const feed = createRunFeed(runId, { history, lingerMs: 1, retryMs: 2, onReadFailed: () => {}, onFetched: () => {} })
  const pending: StoredEvent[] = []

  function commit(): void {
    const count = random() < 0.02 ? 250 : 1 + Math.floor(random() * 4)
    for (let index = 0; index < count; index++) {
      const event: StoredEvent = { runId, seq: log.length + 1, type: 'step.succeeded', path: 'a', at: 0, data: {} }
      log.push(event)
      if (random() < 0.85) pending.push(event)
      if (random() < 0.1) pending.push(event)
    }
  }

  function publish(): void {
    const batch = pending.splice(0, Math.floor(random() * pending.length) + 1)
    if (random() < 0.2) batch.sort(() => random() - 0.5)
    feed.accept(batch)
  }
  return { random, log, feed, commit, publish }
}

/** A client that takes the past at its own pace and remembers the order of all it got. */
function createFollower(random: () => number, batch: boolean, after: number) {
  const seqs: number[] = []
  const take = (delivery: Delivery) => seqs.push(...delivery.events.map((event) => event.seq))
  const subscriber: RunSubscriber = {
    batch,
    deliver: take,
    async replay(delivery) {
      take(delivery)
      if (random() < 0.5) await new Promise((resolve) => setTimeout(resolve, random() * 2))
    },
    caughtUp() {},
    gone() {
      seqs.push(Number.NaN)
    },
  }
  return { subscriber, seqs, after }
}

const SEEDS = Number(process.env.FANOUT_SEEDS ?? 60)

t.test('whatever the live stream does, every follower gets every event once and in order', async (t) => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { random, log, feed, commit, publish } = createWorld(seed)
    const followers: (ReturnType<typeof createFollower> & { stop(): void; stoppedAt?: number })[] = []
    commit()
    feed.learn(log.length)
    for (let move = 0; move < 150; move++) {
      const dice = random()
      if (dice < 0.4) commit()
      else if (dice < 0.75) publish()
      else if (dice < 0.8) feed.learn(log.length)
      else if (dice < 0.9) {
        if (random() < 0.5) feed.learn(log.length)
        const follower = createFollower(random, random() < 0.5, Math.floor(random() * (feed.known + 1)))
        followers.push({ ...follower, stop: feed.follow(follower.subscriber, follower.after) })
      } else if (dice < 0.93 && followers.length > 0) {
        const follower = followers[Math.floor(random() * followers.length)]!
        follower.stop()
        follower.stoppedAt ??= follower.seqs.length
      } else await new Promise((resolve) => setTimeout(resolve, random() * 3))
    }
    const staying = followers.filter((follower) => follower.stoppedAt === undefined)
    const compare = setInterval(() => feed.learn(log.length), 2)
    await until(() => staying.every(({ seqs, after }) => seqs.length >= log.length - after), { what: `seed ${seed}` }).catch(() => {})
    clearInterval(compare)
    const wrong = followers.filter(({ seqs, after, stoppedAt }) => {
      const expected = stoppedAt ?? log.length - after
      return seqs.length !== expected || seqs.some((seq, index) => seq !== after + index + 1)
    })
    for (const follower of followers) follower.stop()
    if (wrong.length > 0)
      return t.same(
        wrong.map(({ seqs, after }) => ({ after, seqs })),
        [],
        `FANOUT_SEEDS: seed ${seed}`,
      )
    if (!feed.idle) return t.fail(`seed ${seed}: not idle`)
  }
  t.pass(`${SEEDS} seeds`)
})
