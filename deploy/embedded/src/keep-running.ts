import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { forgetProcess, identify, type ProcessIdentity, recordProcess } from './process-identity.ts'
import { type Program, spawnProgram } from './program.ts'
import { StackProblem } from './stack-problem.ts'
import { stopProcess } from './stop-process.ts'

/** How a kept program does: `crashing` = it ended so often lately that starting it again may not help. */
export type ProgramStatus = 'starting' | 'running' | 'restarting' | 'crashing' | 'stopped'

/** What is known of a kept program at a moment; `note` says in words what went wrong last. */
export type ProgramState = { name: string; status: ProgramStatus; pid?: number; restarts: number; note?: string }

/** A program that is started again whenever it ends, until `stop`. */
export type KeptProgram = { state(): ProgramState; stop(): Promise<void>; ready(): Promise<void> }

type KeepOptions = { logs: string; pids: string; log: (sentence: string) => void; onChange?: () => void }

const WINDOW_MS = 60_000
const AT_ONCE = 3
const CRASHING = 5

/** The pause before a program that ended `recently` times within a minute starts again: none at first, then longer, always below 5 s. */
export function restartDelayMs(recently: number): number {
  return recently <= AT_ONCE ? 0 : Math.min(500 * 2 ** (recently - AT_ONCE - 1), 4_000)
}

/** Starts the program and keeps it running. Its output goes to `<logs>/<name>.log`, its pid to `<pids>/<name>`. */
export function keepRunning(program: Program, options: KeepOptions): KeptProgram {
  const { logs, pids, log, onChange = () => {} } = options
  const state: ProgramState = { name: program.name, status: 'starting', restarts: 0 }
  const stopping = new AbortController()
  let current: ProcessIdentity | undefined
  let exits: number[] = []

  const change = (next: Partial<ProgramState>) => {
    Object.assign(state, next)
    onChange()
  }

  /** A full disk must not make us lose sight of a program that already runs. */
  const record = (identity: ProcessIdentity | undefined) => {
    try {
      if (identity) recordProcess(pids, program.name, identity)
    } catch (error) {
      log(`the pid of ${program.name} cannot be written down (${(error as Error).message})`)
    }
  }

  async function runOnce(): Promise<string> {
    await program.prepare?.()
    if (stopping.signal.aborted) return 'stopped before it started'
    mkdirSync(logs, { recursive: true })
    const output = openSync(join(logs, `${program.name}.log`), 'a')
    const child = await spawnProgram(program, output, (pid) => record(identify(pid))).finally(() => closeSync(output))
    const ended = new Promise<string>((resolve) =>
      child.once('exit', (code, signal) => resolve(signal ? `ended by ${signal}` : `ended with exit code ${code}`)),
    )
    if (child.exitCode === null) current = identify(child.pid)
    change({ pid: child.pid, status: exits.length >= CRASHING ? 'crashing' : 'running' })
    const how = await ended
    current = undefined
    forgetProcess(pids, program.name)
    delete state.pid
    return how
  }

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      const how = await runOnce().catch((error) => (error instanceof StackProblem ? error.message : String(error)))
      if (stopping.signal.aborted) break
      exits = [...exits.filter((at) => at > performance.now() - WINDOW_MS), performance.now()]
      const crashing = exits.length >= CRASHING
      const pauseMs = restartDelayMs(exits.length)
      log(`${program.name} ${how}${crashing ? `, ${exits.length} times within a minute` : ''}; it starts again in ${pauseMs} ms`)
      change({ status: crashing ? 'crashing' : 'restarting', restarts: state.restarts + 1, note: how })
      await delay(pauseMs, undefined, { signal: stopping.signal }).catch(() => {})
    }
    change({ status: 'stopped' })
  }

  const done = loop()
  return {
    state: () => ({
      ...state,
      ...(state.status === 'crashing' && exits.every((at) => at < performance.now() - WINDOW_MS) && { status: 'running' }),
    }),
    async ready() {
      while (!stopping.signal.aborted && !(current && (await program.isReady()))) await delay(25)
    },
    async stop() {
      stopping.abort()
      if (current) {
        const how = await stopProcess(current, program.stopSignal)
        if (how === 'killed') log(`${program.name} did not end within its time and was killed`)
      }
      await done
    },
  }
}
