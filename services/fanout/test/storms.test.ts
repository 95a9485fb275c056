/** Everybody is cut off at once while events flow, and comes back at once with the last seq they have: nothing is lost and nothing comes twice. */
import { once } from 'node:events'
import { idOf } from '@baton/contracts'
import { until } from '@baton/testing'
import t, { type Test } from 'tap'
import { type Bench, connectClient, startBench, startProcess, upTo } from './bench.ts'

/** The whole five thousand come back in `make bench-live`, which has the machine for itself. */
const STORM_CLIENTS = 500
const AHEAD_MAX = 30

/** A client that follows a run over as many connections as it takes, each of them with `after`. */
function createFollower(t: Test, topic: string, batch: boolean) {
  const before: number[] = []
  let client: Awaited<ReturnType<typeof connectClient>> | undefined
  const seqs = () => (client === undefined ? before : [...before, ...client.seqs(topic)])
  return {
    seqs,
    async connect(port: number) {
      before.push(...(client?.seqs(topic) ?? []))
      client = await connectClient(t, port)
      client.send({ type: 'subscribe', topic, after: before.length, batch })
    },
    cut: () => client?.socket.terminate(),
    closed: () => client?.closed,
  }
}

type Follower = ReturnType<typeof createFollower>

/** Commits and publishes, at most so many events beyond what the first of the followers has, until it is stopped; then tells the last seq. */
function startFlow(bench: Bench, run: string, followers: readonly Follower[]) {
  let stopped = false
  const flow = (async () => {
    for (let round = 0; !stopped; round++) {
      const events = await bench.commit(run, 3)
      await bench.publish(events, round % 16)
      const inTime = events.at(-1)!.seq - AHEAD_MAX
      await until(() => stopped || followers.some((follower) => follower.seqs().length >= inTime), { timeoutMs: 60_000 })
    }
    return (await bench.commit(run, 1, { end: true }))[0]!.seq
  })()
  return () => {
    stopped = true
    return flow
  }
}

async function sameForAll(t: Test, followers: readonly Follower[], last: number): Promise<void> {
  // How many are there is asked first: lists of seqs are long.
  const behind = () => followers.filter((follower) => follower.seqs().length < last)
  await until(() => behind().length === 0, { timeoutMs: 30_000, what: `all to have ${last} events` }).catch(() => {})
  const wrong = followers
    .map((follower) => follower.seqs())
    .filter((seqs) => seqs.length !== last || seqs.some((seq, at) => seq !== at + 1))
  t.equal(wrong.length, 0, `${wrong.length} of ${followers.length} followers lost or doubled something`)
  if (wrong[0]) t.same(wrong[0], upTo(last))
}

t.test('of two replicas one is killed while events flow: its clients go on at the other without gap or double', async (t) => {
  const bench = await startBench(t)
  const run = await bench.createRun()
  const topic = `run:${idOf('run', run)}`
  const [first, second] = await Promise.all([startProcess(t, bench), startProcess(t, bench)])
  const followersAt = async (port: number) => {
    const followers = Array.from({ length: 20 }, (_, index) => createFollower(t, topic, index % 2 === 0))
    for (const follower of followers) await follower.connect(port)
    return followers
  }
  const [moving, staying] = [await followersAt(first.port), await followersAt(second.port)]
  const stop = startFlow(bench, run, staying)
  await until(() => moving.every((follower) => follower.seqs().length >= 30), { what: 'events to flow' })
  const exited = once(first.child, 'exit')
  first.child.kill('SIGKILL')
  await exited
  await Promise.all(moving.map((follower) => follower.closed()))
  const seenBefore = moving.map((follower) => follower.seqs().length)
  await Promise.all(moving.map((follower) => follower.connect(second.port)))
  await until(() => moving.every((follower, index) => follower.seqs().length >= seenBefore[index]! + 30), {
    what: 'events at the other one',
  })
  await sameForAll(t, [...moving, ...staying], await stop())
})

t.test(`${STORM_CLIENTS} clients that come back at once, twice, each get every event once`, async (t) => {
  const bench = await startBench(t)
  const run = await bench.createRun()
  const topic = `run:${idOf('run', run)}`
  const followers = Array.from({ length: STORM_CLIENTS }, (_, index) => createFollower(t, topic, index % 2 === 0))
  await Promise.all(followers.map((follower) => follower.connect(bench.port)))
  await until(() => followers.every((follower) => follower.seqs().length > 0), { what: 'all to follow' })
  for (let storm = 0; storm < 2; storm++) {
    const stop = startFlow(bench, run, followers)
    for (const follower of followers) follower.cut()
    await Promise.all(followers.map((follower) => follower.closed()))
    await Promise.all(followers.map((follower) => follower.connect(bench.port)))
    await sameForAll(t, followers, await stop())
  }
})
