import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import {
  forgetProcess,
  identify,
  isAlive,
  recordedProcess,
  recordedProcesses,
  recordProcess,
  signalProcess,
} from '../src/process-identity.ts'
import { stopProcess } from '../src/stop-process.ts'
import { temporaryFolder } from './temporary-folder.ts'

const sleeper = async (script = 'console.log(1); setInterval(() => {}, 1e6)') => {
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] })
  await once(child.stdout, 'data')
  return child
}

test('a process that got the pid of a recorded one is never signalled', async (t) => {
  const child = await sleeper()
  t.teardown(() => child.kill('SIGKILL'))
  const real = identify(child.pid!)
  t.ok(real)
  const earlier = { pid: child.pid!, start: 'an earlier life' }
  t.equal(isAlive(earlier), false)
  t.equal(signalProcess(earlier, 'SIGKILL'), false)
  t.equal(await stopProcess(earlier), 'gone')
  t.equal(isAlive(real!), true)
})

test('what is recorded is found again until it ends', async (t) => {
  const folder = temporaryFolder(t)
  const child = await sleeper()
  recordProcess(folder, 'worker', identify(child.pid!)!)
  writeFileSync(join(folder, 'broken'), 'no pid at all')
  t.equal(recordedProcess(folder, 'worker')?.pid, child.pid)
  t.same([...recordedProcesses(folder).keys()], ['worker'])
  t.equal(await stopProcess(recordedProcess(folder, 'worker')!), 'ended')
  t.equal(recordedProcess(folder, 'worker'), undefined)
  forgetProcess(folder, 'worker')
  t.same([...recordedProcesses(join(folder, 'missing')).keys()], [])
})

test('a process that ignores its signal is killed when the grace is over, and a stopped one wakes to obey', async (t) => {
  const deaf = await sleeper("process.on('SIGTERM', () => {}); console.log(1); setInterval(() => {}, 1e6)")
  t.equal(await stopProcess(identify(deaf.pid!)!, 'SIGTERM', 100), 'killed')
  const stopped = await sleeper()
  stopped.kill('SIGSTOP')
  t.equal(await stopProcess(identify(stopped.pid!)!, 'SIGTERM', 20_000), 'ended')
})
