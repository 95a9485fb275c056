/** Many runs that wait for an approval: what each of them costs while nothing happens. */
import { setTimeout as delay } from 'node:timers/promises'
import { type Engine, STARTS_AT_ONCE } from './engine.ts'
import type { Target } from './start-target.ts'
import { type Figures, inParallel, quantile } from './statistics.ts'
import { memoryByProcess } from './usage.ts'
import { approveEach, countDone, IN_TIME_MS, measureSaturation, park } from './workloads.ts'

/** How long processes get before their memory is read: they give it back after a minute of rest. */
const SETTLE_MS = 75_000
const APPROVED = 50
const BYTES_PER_MIB = 2 ** 20
/** The prefix of figures that tell by how much a process grew. */
export const MIB_OF = 'MiB '

/**
 * Parks runs on an engine that has worked before, so that what any first work costs is not counted as a parked run's. `warmUpRuns` of each
 * kind are run to their end first.
 */
export async function measureParked(
  engine: Engine,
  target: Target,
  sizes: { runs: number; warmUpRuns: number; settleMs?: number },
): Promise<Figures> {
  const settleMs = sizes.settleMs ?? SETTLE_MS
  await warmUp(engine, target, sizes.warmUpRuns)
  await delay(settleMs)
  const memoryBefore = memoryByProcess(engine.processes())
  const storedBefore = await engine.stored()
  const startedAt = performance.now()
  const runs = await park(engine.client, target, sizes.runs)
  const seconds = (performance.now() - startedAt) / 1_000
  await delay(settleMs)
  const grownMiB = grownSince(memoryBefore, memoryByProcess(engine.processes()))
  const stored = await engine.stored()
  const every = Math.max(1, Math.floor(sizes.runs / APPROVED))
  const latencies = await approveEach(
    engine.client,
    target,
    runs.filter((_, index) => index % every === 0),
  )
  const bytesPerRun = (after?: number, before?: number) => (after === undefined ? undefined : (after - (before ?? 0)) / sizes.runs)
  return withoutUndefined({
    parkedPerSecond: sizes.runs / seconds,
    servicesGrownMiB: sumOf(grownMiB, engine.processes().services.keys()),
    storesGrownMiB: sumOf(grownMiB, engine.processes().stores.keys()),
    databaseBytesPerRun: bytesPerRun(stored.database, storedBefore.database),
    redisBytesPerRun: bytesPerRun(stored.redis, storedBefore.redis),
    p50Ms: quantile(latencies, 0.5),
    ...Object.fromEntries([...grownMiB].map(([name, mib]) => [`${MIB_OF}${name}`, mib])),
  })
}

function grownSince(before: Map<string, number>, after: Map<string, number>): Map<string, number> {
  return new Map([...after].map(([name, bytes]) => [name, (bytes - (before.get(name) ?? 0)) / BYTES_PER_MIB]))
}

function sumOf(values: Map<string, number>, names: Iterable<string>): number {
  return [...names].reduce((sum, name) => sum + (values.get(name) ?? 0), 0)
}

async function warmUp(engine: Engine, target: Target, count: number): Promise<void> {
  await measureSaturation(engine, target, 'sequence', count)
  const parked = await park(engine.client, target, count)
  await inParallel(count, STARTS_AT_ONCE, (index) => engine.client.approve(parked[index]!))
  await countDone(engine.client, parked[0]!.tag, count, IN_TIME_MS)
}

/** The figures that there are. */
export function withoutUndefined(figures: Record<string, number | undefined>): Figures {
  return Object.fromEntries(Object.entries(figures).filter((entry): entry is [string, number] => entry[1] !== undefined))
}
