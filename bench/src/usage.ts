/** What an engine's processes use. */
import type { Processes } from './engine.ts'
import { cpuMsOf, memoryOf } from './processes.ts'

/** CPU milliseconds of each process so far, by name. */
export function cpuMsByProcess({ services, stores }: Processes): Map<string, number> {
  return cpuMsOf(new Map([...services, ...stores]))
}

/** What was spent between two readings, by name. A process that was started again counts from its start. */
export function spentCpuMs(before: Map<string, number>, after: Map<string, number>): Map<string, number> {
  const since = (name: string, ms: number) => Math.max(0, ms - (before.get(name) ?? 0)) || 0
  return new Map([...after].map(([name, ms]) => [name, since(name, ms)]))
}

/** The sum of all values. */
export function totalOf(values: Map<string, number>): number {
  return [...values.values()].reduce((sum, value) => sum + value, 0)
}

/** Memory in bytes by process, pages that several share split among them. */
export function memoryByProcess({ services, stores }: Processes): Map<string, number> {
  return new Map([...memoryOf(new Map([...services, ...stores]))].map(([name, { pss }]) => [name, pss]))
}
