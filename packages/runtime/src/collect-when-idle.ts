/**
 * Gives memory back when a service has nothing to do. V8 collects as it allocates, so the garbage of a burst would stay for as long as the
 * service idles: 60 to 80 MB of each service that had work (orchestrator 156 → 84 MB, http-worker 150 → 82 MB).
 */
import { performance } from 'node:perf_hooks'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

const EVERY_MS = 5_000
/**
 * So many looks in a row that found nothing to do: a minute. A collection also throws away compiled code and what its shapes were, for want of objects
 * that have them: the next 2 000 runs of a stack take some 30 % more CPU. Who comes back within a minute does not pay for that.
 */
const IDLE_LOOKS = 12
/**
 * Part of the time in which the event loop did something, below which the service counts as idle. A runner that only wakes up five times a second
 * took 0.5 % of a core, and 1.5 an hour later on the same machine, where waking up had become dearer.
 */
const IDLE = 0.04
/** Part of the time from which on the service is busy: what it has left then counts with the room for new objects. */
const BUSY = 0.2
/** A heap that has grown by less since the last time is left alone: a collection takes some 50 ms. */
const GROWN_BYTES_MIN = 8 * 1024 * 1024

/**
 * Collects all garbage once the event loop idled for twelve times `everyMs`: what the start has left, and later a heap that has grown since the last
 * time. Keeps no process alive.
 */
export function collectWhenIdle({ everyMs = EVERY_MS }: { everyMs?: number } = {}): { stop(): void } {
  let collect: ((options: object) => void) | undefined
  let seen = performance.eventLoopUtilization()
  let left = heapBytes()
  let idleLooks = 0
  let wasBusy = false
  const isDue = () => {
    const { old, all } = heapBytes()
    left = { old: Math.min(left.old, old), all: Math.min(left.all, all) } // V8 tidies up by itself, too
    const grownBytes = Math.max(old - left.old, wasBusy ? all - left.all : 0)
    return idleLooks >= IDLE_LOOKS && (collect === undefined || grownBytes >= GROWN_BYTES_MIN)
  }
  const timer = setInterval(() => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, seen)
    seen = now
    idleLooks = utilization > IDLE ? 0 : idleLooks + 1
    wasBusy ||= utilization > BUSY
    if (!isDue()) return
    collect ??= findCollector()
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' }) // a regular one keeps most of the pages
    left = heapBytes()
    wasBusy = false
    seen = performance.eventLoopUtilization() // collecting is no work
  }, everyMs)
  timer.unref()
  return { stop: () => clearInterval(timer) }
}

function findCollector(): (options: object) => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as (options: object) => void
}

/**
 * `old`: without the room for new objects. That grows and shrinks with every request, and idle services would be collected again and again for it;
 * but a burst leaves up to 50 MiB there, which V8 was seen to keep while nothing came.
 */
function heapBytes(): { old: number; all: number } {
  const sizes = getHeapSpaceStatistics().map(({ space_name: name, space_size: bytes }) => ({ isNew: name.startsWith('new'), bytes }))
  const sum = (some: typeof sizes) => some.reduce((total, { bytes }) => total + bytes, 0)
  return { old: sum(sizes.filter(({ isNew }) => !isNew)), all: sum(sizes) }
}
