/** What was measured, kept in a file between commands, and its medians. */
import { appendFileSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import type { WorkloadName } from './options.ts'
import { type Figures, mediansOf } from './statistics.ts'

/** One measurement of one workload; `error` when it did not come to an end. */
export interface Measurement {
  engine: string
  workload: WorkloadName
  round: number
  at: string
  scale: number
  figures?: Figures
  error?: string
}

/** Medians by engine and workload, with how many rounds they are of. */
export type Medians = Map<string, Map<WorkloadName, { figures: Figures; rounds: number }>>

/** Adds a measurement to the file. */
export function recordMeasurement(file: string, measurement: Measurement): void {
  mkdirSync(dirname(file), { recursive: true })
  appendFileSync(file, `${JSON.stringify(measurement)}\n`)
}

/** Everything in the file; nothing when there is none. */
export function readMeasurements(file: string): Measurement[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return []
  }
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Measurement)
}

/** Forgets what was measured before. */
export function forgetMeasurements(file: string): void {
  rmSync(file, { force: true })
}

/** The medians of what came to an end, engines in the order they were first measured. */
export function takeMedians(measurements: readonly Measurement[]): Medians {
  const medians: Medians = new Map()
  for (const engine of new Set(measurements.map((each) => each.engine))) {
    const own = measurements.filter((each) => each.engine === engine)
    const byWorkload = new Map<WorkloadName, { figures: Figures; rounds: number }>()
    for (const workload of new Set(own.map((each) => each.workload))) {
      const rounds = own.flatMap((each) => (each.workload === workload && each.figures ? [each.figures] : []))
      if (rounds.length > 0) byWorkload.set(workload, { figures: mediansOf(rounds), rounds: rounds.length })
    }
    medians.set(engine, byWorkload)
  }
  return medians
}
