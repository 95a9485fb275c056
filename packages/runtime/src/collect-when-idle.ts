/**
 * Gives memory back when a service has nothing to do. V8 collects as it allocates, so the garbage of a burst would stay for as long as the
 * service idles: 60 to 80 MB of each service that had work (orchestrator 156 → 84 MB, http-worker 150 → 82 MB).
 */
import { performance } from 'node:perf_hooks'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

const EVERY_MS = 5_000
/** So many looks in a row that found nothing to do: a collection also throws code away, which is missed by what comes soon after. */
const IDLE_LOOKS = 2
/** Part of the time in which the event loop did something, below which the service counts as idle. */
const IDLE = 0.02
/** A heap that has grown by less since the last time is left alone: a collection takes some 50 ms. */
const GROWN_BYTES_MIN = 8 * 1024 * 1024

/** Collects all garbage once the event loop idled for twice `everyMs` with a heap that has grown. Keeps no process alive. */
export function collectWhenIdle({ everyMs = EVERY_MS }: { everyMs?: number } = {}): { stop(): void } {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options: object) => void
  let seen = performance.eventLoopUtilization()
  let leftBytes = 0
  let idleLooks = 0
  const timer = setInterval(() => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, seen)
    seen = now
    idleLooks = utilization > IDLE ? 0 : idleLooks + 1
    if (idleLooks < IDLE_LOOKS || heapBytes() - leftBytes < GROWN_BYTES_MIN) return
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' }) // a regular one keeps most of the pages
    leftBytes = heapBytes()
  }, everyMs)
  timer.unref()
  return { stop: () => clearInterval(timer) }
}

/** Without the room for new objects, which grows and shrinks with every request: idle services would be collected again and again for it. */
function heapBytes(): number {
  const spaces = getHeapSpaceStatistics().filter(({ space_name: name }) => !name.startsWith('new'))
  return spaces.reduce((sum, { space_size: bytes }) => sum + bytes, 0)
}
