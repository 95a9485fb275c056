/** What is done to the stack. Each fault ends with its undo, and says in words what it did; a seed repeats the choices. */
import type { Random } from './random.ts'
import type { ChaosStack, Replica } from './stack.ts'

/** One kind of failure; `run` resolves when it is undone. What takes long breaks off at the signal. */
export interface Fault {
  name: string
  /** How often it is chosen beside the others. */
  weight: number
  run(stack: ChaosStack, random: Random, signal: AbortSignal): Promise<string>
}

const STOP_MS_MIN = 1_000
const STOP_MS_MAX = 15_000
const ROLLING_READY_MS = 10_000

/** SIGKILL of one process; the supervisor starts it again. */
export const killOne: Fault = {
  name: 'SIGKILL of a service',
  weight: 5,
  async run(stack, random) {
    const replica = random.pick(stack.replicas)
    await replica.end('SIGKILL')
    return replica.name
  },
}

/** SIGKILL of both replicas at once: nobody is left of it for a moment. */
export const killBoth: Fault = {
  name: 'SIGKILL of all of a service',
  weight: 2,
  async run(stack, random) {
    const { service } = random.pick(stack.replicas)
    await Promise.all(stack.of(service).map((replica) => replica.end('SIGKILL')))
    return service
  },
}

/** SIGSTOP, and SIGCONT after up to 15 s: it comes back as if nothing had happened. */
export const stopOne: Fault = {
  name: 'SIGSTOP and SIGCONT of a service',
  weight: 4,
  async run(stack, random) {
    const replica = random.pick(stack.replicas)
    const ms = random.whole(STOP_MS_MIN, STOP_MS_MAX)
    await stopFor(replica, ms)
    return `${replica.name} for ${ms} ms`
  },
}

/** Every process in turn by SIGTERM, as a deployment does. */
export const rollingRestart: Fault = {
  name: 'rolling restart',
  weight: 1,
  async run(stack, _random, signal) {
    for (const replica of stack.replicas) {
      // one that has just been killed is not asked: while its program is loaded it hears no signal, and ends by it
      const wasReady = await replica.ready(ROLLING_READY_MS).then(
        () => true,
        () => false,
      )
      if (signal.aborted) return `as far as ${replica.name}`
      const from = performance.now()
      const { code, killed, durationMs } = await replica.end('SIGTERM')
      // One that was stopped meanwhile had less of its grace than the clock says.
      const stoodStill = (wentOnAt.get(replica) ?? 0) > from
      if (code !== 0 && !killed && wasReady && !stoodStill)
        stack.crashes.push(`${replica.name} ended with ${code} after SIGTERM, in ${Math.round(durationMs)} ms`)
      await replica.ready(ROLLING_READY_MS).catch(() => {}) // what it needs may be away by another fault
    }
    return ''
  },
}

/** Redis forgets everything. */
export const flushAll: Fault = {
  name: 'FLUSHALL',
  weight: 2,
  async run({ redis }) {
    await redis.flushAll()
    return ''
  },
}

/** Redis is killed and comes back with what its AOF holds. */
export const restartRedis: Fault = {
  name: 'restart of Redis',
  weight: 2,
  async run({ redis }, random) {
    const ms = random.whole(0, 3_000)
    await redis.kill()
    await pause(ms)
    await redis.start()
    return `away for ${ms} ms`
  },
}

/** Redis is killed and comes back with nothing. */
export const emptyRedis: Fault = {
  name: 'restart of Redis without its data',
  weight: 1,
  async run({ redis }, random) {
    const ms = random.whole(0, 3_000)
    await redis.kill()
    await pause(ms)
    await redis.start({ emptied: true })
    return `away for ${ms} ms`
  },
}

/** Redis hangs. */
export const stopRedis: Fault = {
  name: 'SIGSTOP and SIGCONT of Redis',
  weight: 1,
  async run({ redis }, random) {
    const ms = random.whole(500, 6_000)
    await redis.pause()
    await pause(ms)
    await redis.resume()
    return `for ${ms} ms`
  },
}

/** The disk that the AOF of Redis lies on has no room: it refuses every write. */
export const fillDisk: Fault = {
  name: 'full disk of Redis',
  weight: 1,
  async run({ redis: { disk } }, random) {
    if ('missing' in disk) return disk.missing
    const ms = random.whole(1_000, 6_000)
    disk.fill()
    await pause(ms)
    disk.free()
    return `for ${ms} ms`
  },
}

/** PostgreSQL is restarted, in order or as by a crash. */
export const restartPostgres: Fault = {
  name: 'restart of PostgreSQL',
  weight: 2,
  async run({ postgres }, random) {
    const [how, ms] = [random.pick(['fast', 'immediate'] as const), random.whole(0, 3_000)]
    await postgres.restart(how, ms)
    return `${how}, away for ${ms} ms`
  },
}

/** Every connection to PostgreSQL is cut. */
export const terminateBackends: Fault = {
  name: 'pg_terminate_backend of all',
  weight: 3,
  async run({ postgres }) {
    return `${await postgres.terminateBackends()} connections`
  },
}

/** What is done to services, and what is done to the servers under them. */
export const SERVICE_FAULTS = [killOne, killBoth, stopOne]
export const SERVER_FAULTS = [flushAll, restartRedis, emptyRedis, stopRedis, fillDisk, restartPostgres, terminateBackends]

/** When a process that was stopped last went on, by `performance.now()`. */
const wentOnAt = new WeakMap<Replica, number>()

/** Stops a process and lets it go on after `ms`. */
export async function stopFor(replica: Replica, ms: number): Promise<void> {
  await replica.stop()
  await pause(ms)
  wentOnAt.set(replica, performance.now())
  await replica.go()
}

/** What was done, when, for how long. */
export interface Injected {
  name: string
  said: string
  at: number
  ms: number
}

/** One fault after another out of `faults`, until the signal; the one under way is undone first. */
export async function injectUntil(
  signal: AbortSignal,
  stack: ChaosStack,
  options: { faults: readonly Fault[]; random: Random; restMsMax: number; onDone(injected: Injected): void },
): Promise<void> {
  const { faults, random, restMsMax, onDone } = options
  const bag = faults.flatMap((fault) => Array.from({ length: fault.weight }, () => fault))
  while (!signal.aborted) {
    await pause(random.whole(100, restMsMax))
    if (signal.aborted) return
    const fault = random.pick(bag)
    const at = Date.now()
    const said = await fault.run(stack, random, signal)
    onDone({ name: fault.name, said, at, ms: Date.now() - at })
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
