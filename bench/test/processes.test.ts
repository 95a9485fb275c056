import { createServer } from 'node:net'
import { test } from 'tap'
import { cpuMsOf, findProcesses } from '../src/processes.ts'
import { inParallel, quantile } from '../src/statistics.ts'

test('the process behind a port is found, with its CPU time', { skip: process.platform !== 'linux' }, async (t) => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = server.address() as { port: number }
  const found = findProcesses({ here: address.port, nowhere: 1 })
  t.same([...found], [['here', process.pid]])
  const before = cpuMsOf(process.pid)
  const until = process.cpuUsage().user + 60_000
  while (process.cpuUsage().user < until) Math.sqrt(2)
  const spent = cpuMsOf(process.pid) - before
  t.ok(spent >= 40 && spent < 2_000, `${spent} ms`)
})

test('quantiles are by nearest rank', (t) => {
  const samples = Array.from({ length: 100 }, (_, index) => 100 - index)
  t.equal(quantile(samples, 0.5), 50)
  t.equal(quantile(samples, 0.99), 99)
  t.equal(quantile([7], 0.99), 7)
  t.ok(Number.isNaN(quantile([], 0.5)))
  t.end()
})

test('no more tasks than the width run at once', async (t) => {
  let running = 0
  let most = 0
  const done: number[] = []
  await inParallel(20, 3, async (index) => {
    most = Math.max(most, ++running)
    await Promise.resolve()
    running--
    done.push(index)
  })
  t.equal(most, 3)
  t.same(
    done.sort((a, b) => a - b),
    Array.from({ length: 20 }, (_, index) => index),
  )
})
