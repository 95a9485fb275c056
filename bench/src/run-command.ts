import { BadArguments } from './options.ts'

/** Runs a command of the benchmark: its number is the exit code; what went wrong is said in one line, 2 for arguments that cannot be used. */
export async function runCommand(name: string, command: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await command()
  } catch (error) {
    console.error(`${name}: ${(error as Error).message}`)
    process.exitCode = error instanceof BadArguments ? 2 : 1
  }
}

/** Calls `stop` once when the command is interrupted, then exits; the result ends the watch. */
export function onInterrupt(stop: () => Promise<void>): () => void {
  const interrupted = () => {
    console.error('\nInterrupted: stopping what was started …')
    stop().finally(() => process.exit(130))
  }
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted)
  return () => void process.off('SIGINT', interrupted).off('SIGTERM', interrupted)
}
