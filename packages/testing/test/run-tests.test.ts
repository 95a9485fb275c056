/** The runner of the tests tells what went wrong, counts it, and leaves nothing behind: no process and no folder. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { testDatabase, until } from '../src/index.ts'

const RUNNER = join(import.meta.dirname, '../src/run-tests.ts')
const TAP = JSON.stringify(import.meta.resolve('tap'))

/** Runs test files of these texts by the runner. */
async function runTests(t: Test, files: Record<string, string>) {
  const folder = mkdtempSync(join(tmpdir(), 'baton-runner-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const paths = Object.entries(files).map(([name, text]) => {
    const path = join(folder, `${name}.test.mjs`)
    writeFileSync(path, `import { test } from ${TAP}\n${text}`)
    return path
  })
  const { url } = await testDatabase(t)
  const child = spawn(process.execPath, ['--conditions=@baton/source', RUNNER, ...paths], {
    env: { ...process.env, DATABASE_URL: url, TMPDIR: folder, FOLDER: folder, TAP_TIMEOUT: '5' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  child.stdout.on('data', (chunk) => (said += chunk))
  const ended = new Promise<{ code: number | null; said: string }>((done) => child.once('close', (code) => done({ code, said })))
  const left = () => readdirSync(folder).filter((name) => name.startsWith('baton-tests-'))
  return { folder, child, ended, left }
}

const isGone = (pid: number) => {
  try {
    // a zombie, which its new parent has not looked at yet, is gone as well
    return / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return true
  }
}

test('failures are told with their place, files that crash or hang count as failed, and all are summed', async (t) => {
  const { ended, left } = await runTests(t, {
    good: "test('one', async (t) => { t.ok(1); t.ok(2) })\ntest('later', { skip: true }, () => {})",
    bad: "test('outer', (t) => t.test('inner', async (t) => { t.ok(1); t.equal(1, 2, 'they are equal') }))",
    crash: "throw new Error('cannot begin')",
    hangs: "test('waits', { timeout: 500 }, () => new Promise(() => setInterval(() => {}, 1e6)))",
    silent: 'process.exit(0)',
  })
  const { code, said } = await ended
  t.equal(code, 1)
  t.match(said, /^ok {3}.*good\.test\.mjs {3}\d+\.\d s$/m)
  t.match(said, /^FAIL .*bad\.test\.mjs[^\n]*\n\n {2}✖ outer > inner > they are equal\n[\s\S]*-1|\+2/m)
  for (const name of ['crash', 'hangs', 'silent']) t.match(said, new RegExp(`^FAIL .*${name}\\.test\\.mjs`, 'm'))
  t.match(said, /✖ waits > timeout!/)
  const [, passed, failed, skipped] = /\n(\d+) passed, (\d+) failed, (\d+) skipped\n$/.exec(said)!.map(Number)
  t.equal(passed, 3, said)
  t.ok(failed! >= 4, said)
  t.equal(skipped, 1)
  t.same(left(), [])
})

const LEAVES = `
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'], { stdio: 'ignore' })
child.unref()
writeFileSync(join(mkdtempSync(join(tmpdir(), 'left-')), 'file'), '')
writeFileSync(join(process.env.FOLDER, 'pid'), String(child.pid))
`

test('what a file leaves, a process or a folder, ends with it and with the run', async (t) => {
  const { folder, ended, left } = await runTests(t, { leaves: `${LEAVES}\ntest('one', async (t) => t.ok(1))` })
  t.equal((await ended).code, 0)
  t.same(left(), [])
  const pid = Number(readFileSync(join(folder, 'pid'), 'utf8'))
  await until(() => isGone(pid), { what: 'the process to be gone' })
})

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  test(`a run that gets ${signal} leaves no folder`, { timeout: 60_000 }, async (t) => {
    const { folder, child, ended, left } = await runTests(t, {
      leaves: `${LEAVES}\ntest('one', () => new Promise(() => setInterval(() => {}, 1e6)))`,
    })
    await until(() => existsSync(join(folder, 'pid')), { timeoutMs: 20_000, what: 'the file to run' })
    const pid = Number(readFileSync(join(folder, 'pid'), 'utf8'))
    t.teardown(() => isGone(pid) || process.kill(pid, 'SIGKILL')) // a runner that was killed cannot end what its files left
    t.equal(left().length, 1)
    child.kill(signal)
    if (signal === 'SIGTERM') child.kill(signal) // as from a shell and from make at once
    const { code } = await ended
    t.equal(code, signal === 'SIGTERM' ? 1 : null)
    await until(() => left().length === 0, { what: 'the folder of the run to be gone' })
    if (signal === 'SIGTERM') await until(() => isGone(pid), { what: 'the process to be gone' })
  })
}

test('a path that is not there is told, and nothing is run', async (t) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--conditions=@baton/source', RUNNER, 'no/such.test.ts'], {
    encoding: 'utf8',
  })
  t.equal(status, 1)
  t.match(stderr, /^There is no no\/such\.test\.ts/)
  t.match(stdout, /0 passed, 1 failed/)
})
