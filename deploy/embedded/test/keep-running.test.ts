import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { keepRunning, type ProgramState, restartDelayMs } from '../src/keep-running.ts'
import { recordedProcess, recordedProcesses } from '../src/process-identity.ts'
import type { Program } from '../src/program.ts'
import { waitUntil } from '../src/stop-process.ts'
import { temporaryFolder } from './temporary-folder.ts'

const program = (script: string): Program => ({
  name: 'worker',
  command: process.execPath,
  args: ['-e', script],
  stopSignal: 'SIGTERM',
  isReady: async () => true,
})
const LIVES = 'console.log("alive"); setInterval(() => {}, 1e6)'

function keep(t: { teardown(action: () => unknown): void }, script: string) {
  const folder = temporaryFolder(t)
  const said: string[] = []
  const pids = join(folder, 'pids')
  const kept = keepRunning(program(script), { logs: join(folder, 'logs'), pids, log: (sentence) => said.push(sentence) })
  t.teardown(() => kept.stop())
  const reaches = (wanted: (state: ProgramState) => boolean) => waitUntil(() => wanted(kept.state()), 20_000, 5)
  return { kept, pids, said, reaches, log: () => readFileSync(join(folder, 'logs', 'worker.log'), 'utf8') }
}

test('a program that is killed runs again within 5 s under a pid that is recorded, and its log goes on', async (t) => {
  const { kept, pids, reaches, log } = keep(t, LIVES)
  await kept.ready()
  t.ok(await waitUntil(() => log() === 'alive\n', 10_000, 5))
  const first = recordedProcess(pids, 'worker')!
  const killedAt = performance.now()
  process.kill(first.pid, 'SIGKILL')
  t.ok(await reaches(({ restarts, status }) => restarts === 1 && status === 'running'))
  t.ok(performance.now() - killedAt < 5_000)
  t.not(recordedProcess(pids, 'worker')?.pid, first.pid)
  t.equal(kept.state().note, 'ended by SIGKILL')
  t.ok(await waitUntil(() => log() === 'alive\nalive\n', 10_000, 5))
})

test('a crash loop is told apart from a restart, and said in the log', async (t) => {
  const { kept, said, reaches } = keep(t, 'process.exit(3)')
  t.ok(await reaches(({ status }) => status === 'crashing'))
  t.match(kept.state().note, /exit code 3/)
  t.ok(said.some((sentence) => /5 times within a minute/.test(sentence)))
})

test('a stopped program stays stopped and is forgotten', async (t) => {
  const { kept, pids } = keep(t, LIVES)
  await kept.ready()
  await kept.stop()
  t.equal(kept.state().status, 'stopped')
  t.equal(recordedProcesses(pids).size, 0)
})

test('a program that cannot be started at all is tried again instead of ending the supervisor', async (t) => {
  const folder = temporaryFolder(t)
  const said: string[] = []
  const kept = keepRunning(
    { ...program(''), command: join(folder, 'missing') },
    { logs: join(folder, 'logs'), pids: join(folder, 'pids'), log: (sentence) => said.push(sentence) },
  )
  t.ok(await waitUntil(() => kept.state().restarts > 1, 10_000, 5))
  await kept.stop()
  t.match(said[0], /cannot be started/)
})

test('restarts come at once at first, then slower, and never later than 5 s', async (t) => {
  t.same([1, 2, 3].map(restartDelayMs), [0, 0, 0])
  t.same([4, 5, 6, 7, 8, 100].map(restartDelayMs), [500, 1_000, 2_000, 4_000, 4_000, 4_000])
})
