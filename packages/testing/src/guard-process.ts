import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'

/**
 * Ends the process and removes `directory` when this process is gone, however it went: a shell waits for the end of a pipe that only we
 * hold. Call the result once the process has been ended in the ordinary way.
 */
export function guardProcess(pid: number, directory: string): () => void {
  // Children of a server that was killed may write for a moment longer: remove until nothing is left.
  const remove = 'for try in 1 2 3 4 5 6 7 8 9; do rm -rf "$2" 2> /dev/null; [ -e "$2" ] || break; sleep 0.2; done'
  const script = `trap "" INT TERM HUP; cat > /dev/null; kill -9 "$1" 2> /dev/null; ${remove}`
  const guard = spawn('/bin/sh', ['-c', script, 'sh', String(pid), directory], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  guard.unref()
  const pipe = guard.stdin as unknown as { unref(): void; on(event: 'error', listener: () => void): void }
  pipe.unref()
  pipe.on('error', () => {})
  return () => guard.kill('SIGKILL')
}

/** Sends `signal` and waits until the process has ended. */
export async function endProcess(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.ref()
  child.kill(signal)
  await ended
}
