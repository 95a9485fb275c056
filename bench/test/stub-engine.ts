import { setTimeout as delay } from 'node:timers/promises'
import { type Engine, FAN, type RunRequest, STEPS } from '../src/engine.ts'
import { createTargetCaller } from '../src/peers/call-target.ts'

/**
 * An engine in this process that keeps everything in memory, for judging the measurements themselves. `crash` forgets what is under way and
 * takes it up again after `restartMs`, all but the first `loses` runs; the step under way is called again.
 */
export function stubEngine(targetUrl: string, { restartMs = 0, loses = 0 } = {}): Engine {
  const call = createTargetCaller(targetUrl)
  const done = new Map<string, number>()
  const gates = new Map<string, () => void>()
  const open = new Map<string, { run: RunRequest; step: number }>()
  let life = 0
  let storedBytes = 1_000

  async function proceed(run: RunRequest, from: number): Promise<void> {
    const inLife = life
    for (let step = from; step < STEPS.sequence; step++) {
      open.set(run.id, { run, step })
      await call(run, `s${step}`)
      if (inLife !== life) return
    }
    open.delete(run.id)
    end(run)
  }
  async function work(run: RunRequest): Promise<void> {
    if (run.workflow === 'sequence') return proceed(run, 0)
    if (run.workflow === 'fan') await Promise.all(Array.from({ length: FAN }, (_, index) => call(run, `s${index}`)))
    else {
      await call(run, 's0')
      await new Promise<void>((resolve) => gates.set(run.id, resolve))
    }
    await call(run, run.workflow === 'fan' ? 'join' : 's1')
    end(run)
  }
  function end(run: RunRequest): void {
    done.set(run.tag, (done.get(run.tag) ?? 0) + 1)
    storedBytes += 100
  }
  return {
    name: 'stub',
    client: {
      start: async (run) => void work(run),
      run: work,
      approve: async (run) => gates.get(run.id)?.(),
      done: async (tag) => done.get(tag) ?? 0,
      close: async () => {},
    },
    processes: () => ({ services: new Map([['stub', process.pid]]), stores: new Map() }),
    stored: async () => ({ database: storedBytes }),
    async crash() {
      life++
      await delay(restartMs)
      for (const { run, step } of [...open.values()].slice(loses)) void proceed(run, step)
    },
    stop: async () => {},
  }
}
