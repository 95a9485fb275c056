import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { recordedProcesses, stackPaths } from '@baton/embedded'
import tap, { test } from 'tap'
import { linuxOnly, rootFor, run, STACK_MS } from './bench-command.ts'

tap.setTimeout(STACK_MS)

test('a stack of its own is measured, killed in the middle, reported and removed', linuxOnly, async (t) => {
  t.setTimeout(STACK_MS)
  const root = rootFor(t)
  const args = ['--peers', 'none', '--rounds', '1', '--scale', '0.02', '--workloads', 'w1,w3,w4']
  const { code, out, said } = await run(t, 'compare', args, root)
  t.equal(code, 0, said)
  t.match(out, /\| \*\*Baton\*\* \| \d/)
  t.match(out, 'Sizes were scaled by 0.02')
  t.match(out, /\| \*\*Baton\*\* \| 0 \| \d/, 'no run is lost to a kill')
  t.match(out, /workflow-runner \d/)
  const [line] = readFileSync(join(root, '.local/bench/results.jsonl'), 'utf8').split('\n')
  t.match(JSON.parse(line!), { engine: 'baton', workload: 'w1', round: 1 })
  const { figures } = JSON.parse(line!)
  t.notOk(figures['cpu supervisor'] > figures.cpuMsPerRun / 2, 'the supervisor does not count what its children spend')
  t.equal(recordedProcesses(stackPaths(join(root, '.local/bench/stack')).pids).size, 0, 'nothing runs any more')
  const again = await run(t, 'compare', ['--rounds', '0', '--keep'], root)
  t.match(again, { code: 0, out: /\*\*Baton\*\*/ }, 'the report can be made again without measuring')
})

test('arguments that cannot be used are said in a line, before anything is started', async (t) => {
  const root = rootFor(t)
  t.match(await run(t, 'compare', ['--peers', 'temporal'], root), {
    code: 2,
    said: /^bench-peers: --peers: there is no temporal; there are restate.*\n$/,
  })
  t.match(await run(t, 'soak', ['--seconds', '0'], root), {
    code: 2,
    said: /^soak: --seconds must be a number from 1 to .*, and is "0"\n$/,
  })
  t.match(await run(t, 'main', ['--fast'], root), { code: 2, said: /^bench: Unknown option '--fast'; there are --quick, --write\n$/ })
})
