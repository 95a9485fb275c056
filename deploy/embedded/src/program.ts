import { type ChildProcess, spawn } from 'node:child_process'
import { StackProblem } from './stack-problem.ts'

/** One program of the stack: what to start, how to end it, when it is of use. */
export type Program = {
  name: string
  command: string
  args: string[]
  env?: NodeJS.ProcessEnv
  cwd?: string
  uid?: number
  gid?: number
  stopSignal: NodeJS.Signals
  /** Heals what an earlier life of the program left behind; runs before every start. */
  prepare?: () => Promise<void>
  /** True once the program serves; asked again and again while it starts. */
  isReady: () => Promise<boolean>
}

/**
 * Starts the program with its output on the given file descriptor. Rejects when it cannot be executed. `onPid` hears of the process in the
 * same breath: whoever is killed right after must have written it down.
 */
export async function spawnProgram(
  program: Program,
  outputFd: number | 'ignore',
  onPid: (pid: number) => void = () => {},
): Promise<ChildProcess & { pid: number }> {
  const child = spawn(program.command, program.args, {
    stdio: ['ignore', outputFd, outputFd],
    detached: true, // its own process group: Ctrl-C in the terminal reaches only the one who stops things in order
    ...(program.env && { env: program.env }),
    ...(program.cwd && { cwd: program.cwd }),
    ...(program.uid !== undefined && { uid: program.uid }),
    ...(program.gid !== undefined && { gid: program.gid }),
  })
  if (child.pid !== undefined) onPid(child.pid)
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (error) => reject(new StackProblem(`${program.name} cannot be started: ${error.message}`, { cause: error })))
  })
  return child as ChildProcess & { pid: number }
}
