/** A steady load: runs are started on time, whether earlier ones have ended or not. */
import { setTimeout as delay } from 'node:timers/promises'
import { type Client, newTag, type RunRequest } from './engine.ts'
import { requestOf } from './workloads.ts'

/** What came of a load. */
export interface Load {
  tag: string
  started: number
  /** Starts and approvals that were refused, with the first reason. */
  refused: number
  firstRefusal?: string
  /** Runs that should have been started in the time. */
  wanted: number
}

const TICK_MS = 50
/** Requests under way at once: beyond it the load is late rather than larger. */
const UNDER_WAY_MAX = 1_000
/** Each so many-th run waits for an approval, which it gets a moment later. */
const GATE_EVERY = 20
const APPROVE_AFTER_MS = 1_000

/** Starts `perSecond` runs for so long; most are W1, some wait for an approval and get it. Resolves when the last request was answered. */
export async function loadAtRate(client: Client, perSecond: number, seconds: number): Promise<Load> {
  const load: Load = { tag: newTag({ remembered: false }), started: 0, refused: 0, wanted: Math.floor(perSecond * seconds) }
  const underWay = new Set<Promise<void>>()
  const waiting: { run: RunRequest; at: number }[] = []
  const send = (request: Promise<void>, then?: () => void) => {
    const settled = request.then(then, (error: Error) => {
      load.refused++
      load.firstRefusal ??= error.message
    })
    underWay.add(settled)
    settled.finally(() => underWay.delete(settled))
  }
  const approveThose = (before: number) => {
    while (waiting[0] && waiting[0].at <= before) send(client.approve(waiting.shift()!.run))
  }
  const begin = performance.now()
  for (let elapsedS = 0; ; await delay(TICK_MS)) {
    elapsedS = (performance.now() - begin) / 1_000
    const due = Math.min(load.wanted, Math.floor(elapsedS * perSecond))
    while (load.started < due && underWay.size < UNDER_WAY_MAX) {
      const run = requestOf(load.started % GATE_EVERY === GATE_EVERY - 1 ? 'gate' : 'sequence', load.tag, load.started)
      load.started++
      send(client.start(run), () => {
        if (run.workflow === 'gate') waiting.push({ run, at: performance.now() + APPROVE_AFTER_MS })
      })
    }
    approveThose(performance.now())
    if (elapsedS >= seconds) break
  }
  await Promise.all(underWay)
  await delay(APPROVE_AFTER_MS)
  approveThose(Number.POSITIVE_INFINITY)
  await Promise.all(underWay)
  return load
}
