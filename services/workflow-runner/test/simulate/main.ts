/**
 * `make simulate SEEDS=n SEED=s`: simulates the seeds s … s + n - 1 on all cores. Ends at the first violation, with its seed, the end of its
 * trace and the command that repeats it.
 */
import { availableParallelism } from 'node:os'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { simulate } from '@baton/testing/simulate'
import { forkEvents, startRunner } from './start-runner.ts'

const runner = { startRunner, forkEvents }

const CHUNK = 25
const TRACE_LINES = 80
const SAY_EVERY_MS = 10_000

interface Report {
  seeds: number
  violation?: { seed: number; text: string; trace: string[] }
  ends: Record<string, number>
}

async function simulateChunk(first: number, count: number): Promise<Report> {
  const report: Report = { seeds: count, ends: {} }
  for (let seed = first; seed < first + count; seed++) {
    const { violation, ends } = await simulate({ seed, ...runner })
    for (const end of ends) report.ends[end] = (report.ends[end] ?? 0) + 1
    if (!violation) continue
    const { trace } = await simulate({ seed, ...runner, traced: true })
    return { ...report, violation: { seed, text: violation, trace: trace.slice(-TRACE_LINES) } }
  }
  return report
}

/** Simulates until all seeds are done or one is violated; gives the violation with the lowest seed that was found. */
async function simulateAll(seeds: number, first: number): Promise<Report> {
  const total: Report = { seeds: 0, ends: {} }
  const startedAt = performance.now()
  const tell = () => {
    const seconds = (performance.now() - startedAt) / 1_000
    const ends = Object.entries(total.ends).map(([end, count]) => `${count} ${end}`)
    return `${total.seeds} of ${seeds} seeds in ${seconds.toFixed(0)} s (${(total.seeds / seconds).toFixed(0)} a second), runs: ${ends.join(', ')}`
  }
  let next = first
  const saying = setInterval(() => console.log(tell()), SAY_EVERY_MS)
  const work = () =>
    new Promise<void>((resolve, reject) => {
      const worker = new Worker(import.meta.filename)
      const give = () => {
        if (total.violation || next >= first + seeds) return void worker.terminate().then(() => resolve())
        worker.postMessage([next, Math.min(CHUNK, first + seeds - next)])
        next += CHUNK
      }
      worker.once('error', reject)
      worker.on('message', (report: Report) => {
        total.seeds += report.seeds
        for (const [end, count] of Object.entries(report.ends)) total.ends[end] = (total.ends[end] ?? 0) + count
        if (report.violation && !(total.violation && total.violation.seed < report.violation.seed)) total.violation = report.violation
        give()
      })
      give()
    })
  try {
    await Promise.all(Array.from({ length: Math.min(availableParallelism(), Math.ceil(seeds / CHUNK)) }, work))
  } finally {
    clearInterval(saying)
  }
  console.log(tell())
  return total
}

/** Ends the process when it is none: a simulation of no seeds at all would pass. */
function wholeNumber(name: string, text: string | undefined): number {
  const number = Number(text)
  if (Number.isSafeInteger(number) && number >= 1) return number
  console.error(`simulate: ${name} has to be a whole number from 1 on, not "${text}"`)
  process.exit(2)
}

if (isMainThread) {
  const [seeds, first] = process.argv.slice(2)
  const { violation } = await simulateAll(wholeNumber('SEEDS', seeds), wholeNumber('SEED', first))
  if (violation) {
    console.log(`\n${violation.trace.join('\n')}\n\nseed ${violation.seed}: ${violation.text}`)
    console.log(`again: make simulate SEEDS=1 SEED=${violation.seed}`)
    process.exitCode = 1
  }
} else {
  parentPort!.on('message', ([first, count]: [number, number]) => {
    void simulateChunk(first, count).then((report) => parentPort!.postMessage(report))
  })
}
