import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'tap'
import { cpuMsOf, findProcesses, memoryOf } from '../src/processes.ts'
import { spentCpuMs, totalOf } from '../src/usage.ts'

const linuxOnly = { skip: process.platform !== 'linux' }

test('the process behind a port is found, with its CPU time', linuxOnly, async (t) => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = server.address() as { port: number }
  const found = findProcesses({ here: address.port, nowhere: 1 })
  t.same([...found], [['here', process.pid]])
  const cpuMs = () => cpuMsOf(new Map([['here', process.pid]])).get('here')!
  const before = cpuMs()
  const until = process.cpuUsage().user + 60_000
  while (process.cpuUsage().user < until) Math.sqrt(2)
  const spent = cpuMs() - before
  t.ok(spent >= 40 && spent < 2_000, `${spent} ms`)
})

test('children count for their parent, unless they have a name of their own', linuxOnly, async (t) => {
  const alone = memoryOf(new Map([['parent', process.pid]])).get('parent')!
  const child = fork(new URL('../src/target.ts', import.meta.url), { execArgv: ['--no-warnings'] })
  t.teardown(() => child.disconnect())
  await once(child, 'message')
  const together = memoryOf(new Map([['parent', process.pid]])).get('parent')!
  const named = new Map([
    ['parent', process.pid],
    ['child', child.pid!],
  ])
  const apart = memoryOf(named)
  t.ok(alone.pss > 2 ** 20 && alone.rss >= alone.pss)
  t.ok(together.pss - alone.pss > 2 ** 20, `${together.pss - alone.pss} bytes more`)
  t.ok(together.rss - apart.get('parent')!.rss > 2 ** 20)
  t.ok(apart.get('child')!.rss > 2 ** 20)
  t.ok(cpuMsOf(named).get('child')! > 0)
  t.equal(cpuMsOf(new Map([['gone', 2 ** 30]])).get('gone'), 0)
})

test('a process that was started again meanwhile does not spend less than nothing', (t) => {
  const spent = spentCpuMs(
    new Map([['runner', 500]]),
    new Map([
      ['runner', 40],
      ['worker', 30],
    ]),
  )
  t.same(
    [...spent],
    [
      ['runner', 0],
      ['worker', 30],
    ],
  )
  t.equal(totalOf(spent), 30)
  t.end()
})
