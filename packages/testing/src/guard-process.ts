import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'

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

/**
 * Makes a folder below `parent` that is gone when this process is, however it went, with all that was put into it. The result of `remove` says
 * when it is. What PostgreSQL, started by root, had to place outside of it goes with the link that stands for it.
 */
export function guardedFolder(parent: string): { path: string; remove(): Promise<void> } {
  const path = mkdtempSync(join(parent, 'baton-tests-'))
  chmodSync(path, 0o755) // as root a PostgreSQL below it runs as another user, who has to enter it
  const placed = `find "$1" -type l -lname '/var/lib/baton/*' -exec sh -c 'for link; do rm -rf "$(dirname "$(readlink "$link")")"; done' sh {} +`
  const remove = 'for try in 1 2 3 4 5 6 7 8 9; do rm -rf "$1" 2> /dev/null; [ -e "$1" ] || break; sleep 0.2; done'
  const guard = spawn('/bin/sh', ['-c', `trap "" INT TERM HUP; cat > /dev/null; ${placed}; ${remove}`, 'sh', path], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  const gone = new Promise<void>((resolve) => guard.once('exit', () => resolve()))
  return {
    path,
    remove() {
      guard.stdin.end()
      return gone
    },
  }
}

/** Sends `signal` and waits until the process has ended. */
export async function endProcess(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.ref()
  child.kill(signal)
  await ended
}
