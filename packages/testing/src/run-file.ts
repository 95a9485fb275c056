/** One test file as a process of its own, and what its TAP says. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** Assertions of a file, as tap counts them. */
export type Counts = { pass: number; fail: number; skip: number; todo: number }

export type FileOutcome = { ok: boolean; counts: Counts; durationMs: number; failures: string[] }

/** A test file that runs. */
export type RunningFile = { ended: Promise<FileOutcome>; end(signal: NodeJS.Signals): void }

/** Time for tap to say which test hung, before its process is ended. */
const LAST_WORDS_MS = 5_000

/**
 * Starts the file with node itself, in a process group of its own, so that a signal ends it with all that it started. tap's own runner is left
 * out: the loaders that it puts into the file and into every node that the file starts cost 0.9 s of CPU a file and 0.6 s a service.
 */
export function runFile(file: string, { cwd, env, timeoutMs }: { cwd: string; env: NodeJS.ProcessEnv; timeoutMs: number }): RunningFile {
  const begunAt = performance.now()
  const child = spawn(process.execPath, ['--conditions=@baton/source', '--no-warnings', file], {
    cwd,
    env: { ...env, TAP_TIMEOUT: String(timeoutMs / 1_000) },
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const end = (signal: NodeJS.Signals) => {
    try {
      if (child.pid) process.kill(-child.pid, signal)
    } catch {} // nobody is left in it
  }
  // tap ends by itself when the time is up, unless it hangs; to this signal it answers with what holds it
  const late = setTimeout(() => child.kill('SIGALRM'), timeoutMs + LAST_WORDS_MS)
  const tooLate = setTimeout(end, timeoutMs + 2 * LAST_WORDS_MS, 'SIGKILL')
  const ended = read(child).then((outcome) => {
    for (const timer of [late, tooLate]) clearTimeout(timer)
    end('SIGKILL') // what the file left behind
    return { ...outcome, durationMs: performance.now() - begunAt }
  })
  return { ended, end }
}

/** Resolves when the process has ended; its output may go on for a moment in processes that it left. */
async function read(child: ChildProcess): Promise<Omit<FileOutcome, 'durationMs'>> {
  const lines: string[] = []
  const reader = createInterface({ input: child.stdout! }).on('line', (line) => lines.push(line))
  const drained = new Promise((done) => reader.once('close', done))
  const code = await new Promise<number | null>((done) => child.once('error', () => done(127)).once('exit', done))
  await Promise.race([drained, new Promise((done) => setTimeout(done, 1_000))])
  const counted = lines.findLast((line) => /^# \{ total: .*\}$/.test(line))
  const counts = counted === undefined ? { pass: 0, fail: 0, skip: 0, todo: 0 } : readCounts(counted)
  const ok = code === 0 && counted !== undefined && counts.fail === 0
  if (!ok && counts.fail === 0) counts.fail = 1
  return { ok, counts, failures: ok ? [] : failuresIn(lines) }
}

function readCounts(line: string): Counts {
  const count = (name: string) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(line)?.[1] ?? 0)
  return { pass: count('pass'), fail: count('fail'), skip: count('skip'), todo: count('todo') }
}

/** Each failed assertion under the names of the tests around it, with its details; the last lines when there is none. */
function failuresIn(lines: string[]): string[] {
  const open: (string | undefined)[] = []
  const failures: string[] = []
  for (const [index, line] of lines.entries()) {
    const depth = Math.floor((/^ */.exec(line)?.[0].length ?? 0) / 4)
    const opened = /^ *# Subtest: (.*)$/.exec(line)?.[1]
    if (opened !== undefined) open[depth] = opened
    const outcome = /^ *(not )?ok \d+ - (.*)$/.exec(line)
    if (!outcome) continue
    const name = outcome[2]!.replace(/ # time=.*$/, '')
    const closes = open[depth] === name
    if (closes) open[depth] = undefined
    else if (outcome[1] && !/ # (TODO|SKIP)/i.test(name))
      failures.push(`\n  ✖ ${[...open.slice(0, depth), name].join(' > ')}\n${detailsAfter(lines, index)}`)
  }
  return failures.length > 0 ? failures : [lines.slice(-40).join('\n')]
}

function detailsAfter(lines: string[], index: number): string {
  if (lines[index + 1]?.trim() !== '---') return ''
  const end = lines.findIndex((line, at) => at > index && line.trim() === '...')
  return lines
    .slice(index + 2, end)
    .map((line) => `    ${line.trimEnd()}`)
    .join('\n')
}
