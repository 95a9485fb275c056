import { join } from 'node:path'
import { recordedProcesses, stackPaths } from '@baton/embedded'
import { until } from '@baton/testing'
import tap, { test } from 'tap'
import { linuxOnly, rootFor, run, STACK_MS, start } from './bench-command.ts'

tap.setTimeout(STACK_MS)

test('a soak of seconds judges every bound', linuxOnly, async (t) => {
  t.setTimeout(STACK_MS)
  const { code, out, said } = await run(t, 'soak', ['--seconds', '2', '--idle', '3', '--saturate', '0.5'], rootFor(t))
  t.match(out, /\| runs that ended well \| (\d+) of \1 \| all \| met \|/, said)
  t.match(out, /\| memory of workflow-runner after the load \| \d+ MiB \|/)
  t.match(out, '| table inbox, rows left | 0.00 rows | ≤ 0.00 rows | met |')
  t.match(out, /\| run_events: rows \| [\d.]+ \|/)
  t.match(said, /idle CPU, % of a core: .*supervisor \d/)
  t.equal(code, out.includes('All bounds are met.') ? 0 : 1, 'the exit code follows the verdict')
})

test('an interrupted command leaves nothing running', linuxOnly, async (t) => {
  t.setTimeout(STACK_MS)
  const root = rootFor(t)
  const running = () => recordedProcesses(stackPaths(join(root, '.local/bench/stack')).pids)
  const { child, ended } = start(t, 'soak', ['--seconds', '60'], root)
  await until(() => running().size > 3, { timeoutMs: 60_000, what: 'a stack that starts' })
  child.kill('SIGINT')
  t.match(await ended, { code: 130, said: /Interrupted: stopping what was started/ })
  await until(() => running().size === 0, { timeoutMs: 40_000, what: 'the end of the stack' })
})
