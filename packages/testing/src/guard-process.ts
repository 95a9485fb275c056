import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { createServer } from 'node:net'

/**
 * Ends `child` and removes `directory` when this process is gone, however it went: a shell waits for the end of a pipe that only we hold.
 * Call the result once the child has been ended in the ordinary way.
 */
export function guardProcess(child: ChildProcess, directory: string): () => void {
  const script = 'trap "" INT TERM HUP; cat > /dev/null; kill -9 "$1" 2> /dev/null; rm -rf "$2"'
  const guard = spawn('/bin/sh', ['-c', script, 'sh', String(child.pid), directory], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  guard.unref()
  const pipe = guard.stdin as unknown as { unref(): void; on(event: 'error', listener: () => void): void }
  pipe.unref()
  pipe.on('error', () => {})
  return () => guard.kill('SIGKILL')
}

/** A TCP port of 127.0.0.1 that was free a moment ago. */
export async function findFreePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/** Sends `signal` and waits until the process has ended. */
export async function endProcess(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.ref()
  child.kill(signal)
  await ended
}
