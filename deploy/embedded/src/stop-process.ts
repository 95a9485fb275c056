import { setTimeout as delay } from 'node:timers/promises'
import { isAlive, type ProcessIdentity, signalProcess } from './process-identity.ts'

/** How long a process may take to end after its signal before it is killed. */
export const STOP_GRACE_MS = 30_000

/** Resolves true as soon as the condition holds, false when the time is up. Looks each `everyMs`. */
export async function waitUntil(condition: () => boolean | Promise<boolean>, timeoutMs: number, everyMs = 50): Promise<boolean> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    if (await condition()) return true
    if (performance.now() >= deadline) return false
    await delay(everyMs)
  }
}

/** Ends a process: the signal, then SIGKILL after the grace. Resolves when it is gone; says which way it went. */
export async function stopProcess(
  identity: ProcessIdentity,
  signal: NodeJS.Signals = 'SIGTERM',
  graceMs = STOP_GRACE_MS,
): Promise<'gone' | 'ended' | 'killed'> {
  if (!signalProcess(identity, signal)) return 'gone'
  signalProcess(identity, 'SIGCONT') // a stopped process would sit on its signal until the grace is over
  if (await waitUntil(() => !isAlive(identity), graceMs, 20)) return 'ended'
  signalProcess(identity, 'SIGKILL')
  await waitUntil(() => !isAlive(identity), 5_000, 20)
  return 'killed'
}
