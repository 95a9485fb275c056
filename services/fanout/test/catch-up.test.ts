/** What was committed and never published, or published while nobody could read it, arrives all the same: by WebSocket and by SSE, once, within two seconds. */
import { once } from 'node:events'
import { idOf } from '@baton/contracts'
import { until } from '@baton/testing'
import t, { type Test } from 'tap'
import { connectClient, openSse, startBench, startProcess, upTo } from './bench.ts'

const WITHIN_MS = 2_000

/** Followers of both kinds, on whatever port; `all` waits until both have seen everything up to that seq. */
async function follow(t: Test, port: number, run: string) {
  const topic = `run:${idOf('run', run)}`
  const client = await connectClient(t, port)
  await client.ask({ type: 'subscribe', topic, after: 0 })
  const stream = await openSse(t, port, run, {})
  const sees = async (seq: number, what: string, timeoutMs = WITHIN_MS) => {
    const all = () => [client.seqs(topic), stream.ids()]
    await until(() => all().every((seqs) => seqs.length >= seq), { timeoutMs, what }).catch((error: Error) => t.fail(error.message))
    for (const seqs of all()) t.same(seqs, upTo(seq), what)
  }
  await sees(1, 'the past', 5_000)
  return { sees, stream }
}

t.test('committed and never published: a runner died in between', async (t) => {
  const bench = await startBench(t)
  const run = await bench.createRun()
  const { sees, stream } = await follow(t, bench.port, run)
  await bench.commit(run, 3)
  await sees(4, 'what nobody published')
  const [, last] = await bench.commit(run, 2)
  await bench.publish([last!])
  await sees(6, 'one of two')
  await bench.commit(run, 2, { end: true })
  await sees(8, 'the end')
  await stream.done
  t.ok(stream.state.ended, 'the end that nobody published ends the stream')
})

t.test('Redis hangs, is killed, comes back empty, is emptied: live events wait for none of it', async (t) => {
  const bench = await startBench(t)
  const run = await bench.createRun()
  const { sees } = await follow(t, bench.port, run)
  let seq = 1
  const commitAndSee = async (what: string, publish = false) => {
    const events = await bench.commit(run, 5)
    if (publish) await bench.publish(events)
    seq += 5
    await sees(seq, what)
  }
  bench.server.pause()
  await commitAndSee('while Redis hangs')
  bench.server.resume()
  await commitAndSee('after it went on', true)
  await bench.server.kill()
  await commitAndSee('while it is gone')
  await bench.server.restart()
  await commitAndSee('after it came back empty', true)
  await bench.server.flushAll()
  await commitAndSee('after it was emptied', true)
})

t.test('a fanout that stood still tells what happened meanwhile, and one that was killed is replaced by another', async (t) => {
  const bench = await startBench(t)
  const run = await bench.createRun()
  const { port, child } = await startProcess(t, bench)
  const { sees, stream } = await follow(t, port, run)
  child.kill('SIGSTOP')
  for (let n = 0; n < 20; n++) await bench.publish(await bench.commit(run, 5), n % 16)
  await bench.commit(run, 5) // and some that nobody publishes
  child.kill('SIGCONT')
  await sees(106, 'after it stood still')
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
  await stream.done
  await bench.publish(await bench.commit(run, 3))
  const rest = await bench.sse(run, { lastEventId: '106' })
  const other = await bench.connect()
  await other.ask({ type: 'subscribe', topic: `run:${idOf('run', run)}`, after: 106 })
  const seen = () => [rest.ids(), other.seqs(`run:${idOf('run', run)}`)]
  await until(() => seen().every((seqs) => seqs.length >= 3), { timeoutMs: WITHIN_MS, what: 'the rest from the other one' })
  for (const seqs of seen()) t.same(seqs, upTo(109, 107))
})
