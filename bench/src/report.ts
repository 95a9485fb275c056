/** Figures as Markdown, and their places in bench/README.md. */
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import type { Figures } from './statistics.ts'
import { CPU_OF } from './workloads.ts'

const PAGE = join(import.meta.dirname, '../README.md')
const PLOT = join(import.meta.dirname, '../figures.svg')
const BYTES_PER_GIB = 2 ** 30

/** The places for figures: of the running stack, of Baton beside its peers, of live events, of the soak, of a full database, of several replicas, of long lists. */
export type Place = 'stack' | 'peers' | 'live' | 'soak' | 'growth' | 'scale' | 'items'

/** The running stack's figures: a table of the workloads, and their CPU time by process. */
export function stackReport(results: readonly { name: string; figures: Figures }[], today: Date): string {
  const processes = [...new Set(results.flatMap(({ figures }) => Object.keys(figures)))].filter((name) => name.startsWith(CPU_OF))
  const overall = results.map(({ name, figures }) => [
    name,
    shown(figures.runsPerSecond),
    shown(figures.stepsPerSecond),
    shown(figures.p50Ms),
    shown(figures.p99Ms),
    shown(figures.cpuMsPerRun),
  ])
  const byProcess = results.map(({ name, figures }) => [name.split(':')[0]!, ...processes.map((process) => shown(figures[process] ?? 0))])
  return [
    takenOn(today),
    '',
    table(['workload', 'runs/s', 'steps/s', 'p50 ms', 'p99 ms', 'CPU-ms a run'], overall),
    '',
    'CPU-ms a run, by process:',
    '',
    table(['', ...processes.map((name) => name.slice(CPU_OF.length))], byProcess),
  ].join('\n')
}

/** The day and the machine. */
export function takenOn(today: Date): string {
  const cores = cpus()
  const memory = `${(totalmem() / BYTES_PER_GIB).toFixed(0)} GiB`
  const machine = `${cores.length} × ${cores[0]?.model.trim() ?? process.arch}, ${memory}, ${process.platform}, Node ${process.versions.node}`
  return `Taken on ${today.toISOString().slice(0, 10)}: ${machine}.`
}

/** A number with three digits that matter; `–` for one that was not measured. */
export function shown(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '–'
  if (value === 0) return '0'
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  const text = value.toFixed(Math.min(digits, 3))
  return Math.abs(value) >= 10_000 ? Number(text).toLocaleString('en').replaceAll(',', ' ') : text
}

/** A table in Markdown. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n')
}

/** Puts the report into its place on the page; throws when the place is gone. */
export function writeFigures(place: Place, report: string, page = PAGE): void {
  const begin = `<!-- figures: ${place} -->`
  const end = `<!-- /figures: ${place} -->`
  const text = readFileSync(page, 'utf8')
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`${page} has no place for figures: put ${begin} and ${end} into it`)
  writeFileSync(page, `${text.slice(0, from + begin.length)}\n\n${report}\n\n${text.slice(to)}`)
}

/** Puts the plot beside the page. */
export function writePlot(svg: string, file = PLOT): void {
  writeFileSync(file, svg)
}
