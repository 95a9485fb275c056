import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const SOURCES = resolve(import.meta.dirname, '../src')
/** Everything is read from /proc. */
export const linuxOnly = { skip: process.platform !== 'linux' }

/** Starting and stopping a stack takes some seconds, on a machine that does other things too a multiple. */
export const STACK_MS = 110_000

type Teardown = { teardown(action: () => unknown): void }

/** What became of a command. */
export type Outcome = { code: number | null; out: string; said: string }

/** Starts a command with its data in `root`, as `make` does; a test that is cut off interrupts it, as Ctrl-C does. */
export function start(t: Teardown, name: string, args: string[], root: string): { child: ChildProcess; ended: Promise<Outcome> } {
  const env = { ...process.env, BATON_STACK_ROOT: root }
  const child = spawn(process.execPath, ['--conditions=@baton/source', join(SOURCES, `${name}.ts`), ...args], { env })
  const outcome: Outcome = { code: null, out: '', said: '' }
  child.stdout.on('data', (chunk) => (outcome.out += chunk))
  child.stderr.on('data', (chunk) => (outcome.said += chunk))
  const ended = new Promise<Outcome>((done) => child.once('close', (code) => done({ ...outcome, code })))
  t.teardown(() => {
    child.kill('SIGTERM')
    return ended
  })
  return { child, ended }
}

/** Runs a command to its end. */
export const run = (t: Teardown, name: string, args: string[], root: string): Promise<Outcome> => start(t, name, args, root).ended

/** A folder for a stack, which is gone when the test ends, whatever it left. */
export function rootFor(t: Teardown): string {
  const root = mkdtempSync(join(tmpdir(), 'baton-bench-'))
  const env = { ...process.env, BATON_STACK_ROOT: join(root, '.local/bench/stack'), BATON_MODE: 'local', CONFIRM: 'yes' }
  const clean = resolve(SOURCES, '../../deploy/embedded/src/clean.ts')
  t.teardown(() => {
    if (existsSync(env.BATON_STACK_ROOT)) spawnSync(process.execPath, ['--conditions=@baton/source', clean], { env })
    rmSync(root, { recursive: true, force: true })
  })
  return root
}
