/** Timers and clocks of the language, turned over to a scheduler: the code under test is the real one and does not know. */
import type { Scheduler } from './scheduler.ts'

/** When simulations begin, in ms since 1970. */
export const EPOCH = Date.UTC(2030, 0, 1)

type Run = (...args: unknown[]) => void

/** Replaces timers, Date.now and performance.now until the answer is called. What a process sets is an event of that process. */
export function installClock(scheduler: Scheduler): () => void {
  const before = { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate }
  const dateNow = Date.now
  const set = (run: Run, ms = 0, ...args: unknown[]) => handleOf(scheduler.after(ms, () => run(...args), scheduler.current))
  const clear = (handle: { cancel?(): void } | undefined) => handle?.cancel?.()
  const repeat = (run: Run, ms = 0, ...args: unknown[]) => {
    const owner = scheduler.current
    let next = scheduler.after(ms, tick, owner)
    function tick(): void {
      next = scheduler.after(ms, tick, owner)
      run(...args)
    }
    return handleOf({ cancel: () => next.cancel() })
  }
  Object.assign(globalThis, {
    setTimeout: set,
    clearTimeout: clear,
    setInterval: repeat,
    clearInterval: clear,
    setImmediate: (run: Run, ...args: unknown[]) => set(run, 0, ...args),
    clearImmediate: clear,
  })
  Date.now = () => EPOCH + Math.floor(scheduler.now() + (scheduler.current?.clockMs ?? 0))
  performance.now = () => scheduler.now()
  return () => {
    Object.assign(globalThis, before)
    Date.now = dateNow
    Reflect.deleteProperty(performance, 'now')
  }
}

function handleOf(task: { cancel(): void }) {
  const handle = { cancel: task.cancel, ref: () => handle, unref: () => handle, hasRef: () => true }
  return handle
}
