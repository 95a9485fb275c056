import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { recordedProcesses, stackPaths } from '@baton/embedded'
import { test } from 'tap'

const SOURCES = resolve(import.meta.dirname, '../src')
const linuxOnly = { skip: process.platform !== 'linux' }

/** Starting and stopping a stack takes some seconds, on a machine that does other things too a multiple. */
const STACK_MS = 110_000

/** Runs a command with its data in `root`, as `make` does. */
async function run(name: string, args: string[], root: string): Promise<{ code: number | null; out: string; said: string }> {
  const env = { ...process.env, BATON_STACK_ROOT: root }
  const child = spawn(process.execPath, ['--conditions=@baton/source', join(SOURCES, `${name}.ts`), ...args], { env })
  const outcome = { out: '', said: '' }
  child.stdout.on('data', (chunk) => (outcome.out += chunk))
  child.stderr.on('data', (chunk) => (outcome.said += chunk))
  const code = await new Promise<number | null>((done) => child.once('close', done))
  return { code, ...outcome }
}

/** A folder for a stack; one that a test which was cut off left running is stopped. */
function rootFor(t: { testdir(): string; teardown(action: () => unknown): void }): string {
  const root = t.testdir()
  const env = { ...process.env, BATON_STACK_ROOT: join(root, '.local/bench/stack'), BATON_MODE: 'local', CONFIRM: 'yes' }
  const clean = resolve(SOURCES, '../../deploy/embedded/src/clean.ts')
  t.teardown(() => spawnSync(process.execPath, ['--conditions=@baton/source', clean], { env }))
  return root
}

test('a stack of its own is measured, killed in the middle, reported and removed', linuxOnly, async (t) => {
  t.setTimeout(STACK_MS)
  const root = rootFor(t)
  const args = ['--peers', 'none', '--rounds', '1', '--scale', '0.02', '--workloads', 'w1,w3,w4']
  const { code, out, said } = await run('compare', args, root)
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
  const again = await run('compare', ['--rounds', '0', '--keep'], root)
  t.match(again, { code: 0, out: /\*\*Baton\*\*/ }, 'the report can be made again without measuring')
})

test('a soak of seconds judges every bound', linuxOnly, async (t) => {
  t.setTimeout(STACK_MS)
  const { code, out, said } = await run('soak', ['--seconds', '2', '--idle', '3', '--saturate', '0.5'], rootFor(t))
  t.match(out, /\| runs that ended well \| (\d+) of \1 \| all \| met \|/, said)
  t.match(out, /\| memory of workflow-runner after the load \| \d+ MiB \|/)
  t.match(out, '| table inbox, rows left | 0.00 rows | ≤ 0.00 rows | met |')
  t.match(out, /\| run_events: rows \| [\d.]+ \|/)
  t.match(said, /idle CPU, % of a core: .*supervisor \d/)
  t.equal(code, out.includes('All bounds are met.') ? 0 : 1, 'the exit code follows the verdict')
})

test('arguments that cannot be used are said in a line, before anything is started', async (t) => {
  const root = t.testdir()
  t.match(await run('compare', ['--peers', 'temporal'], root), {
    code: 2,
    said: /^bench-peers: --peers: there is no temporal; there are restate.*\n$/,
  })
  t.match(await run('soak', ['--seconds', '0'], root), { code: 2, said: /^soak: --seconds must be a number from 1 to .*, and is "0"\n$/ })
  t.match(await run('main', ['--fast'], root), { code: 2, said: /^bench: Unknown option '--fast'; there are --quick, --write\n$/ })
})
