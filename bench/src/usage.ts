/** What an engine's processes use. */
import type { Engine, Processes } from './engine.ts'
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

/** Memory in bytes, pages that several share split among them: of the services together, and of the stores together. */
export function memoryInUse(engine: Pick<Engine, 'processes'>): { services: number; stores: number } {
  const { services, stores } = engine.processes()
  const memory = memoryOf(new Map([...services, ...stores]))
  const pss = (names: Iterable<string>) => [...names].reduce((sum, name) => sum + (memory.get(name)?.pss ?? 0), 0)
  return { services: pss(services.keys()), stores: pss(stores.keys()) }
}
