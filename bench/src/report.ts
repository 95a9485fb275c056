/** Figures as Markdown, and their place in bench/README.md. */
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import type { Figures } from './workloads.ts'

const BEGIN = '<!-- figures: written by `make bench ARGS=--write` -->'
const END = '<!-- /figures -->'
const BYTES_PER_GIB = 2 ** 30

/** The tables, with the machine and the day they were taken on. */
export function reportOf(results: readonly Figures[], today: Date): string {
  const processes = [...new Set(results.flatMap((figures) => [...figures.cpuMsPerStep.keys()]))]
  const overall = results.map((figures) => [
    figures.name,
    figures.runsPerSecond.toFixed(0),
    figures.stepsPerSecond.toFixed(0),
    figures.p50Ms.toFixed(1),
    figures.p99Ms.toFixed(1),
    total(figures).toFixed(3),
  ])
  const byProcess = results.map((figures) => [
    figures.name.split(':')[0]!,
    ...processes.map((process) => (figures.cpuMsPerStep.get(process) ?? 0).toFixed(3)),
  ])
  return [
    `Taken on ${today.toISOString().slice(0, 10)}: ${machine()}.`,
    '',
    table(['workload', 'runs/s', 'steps/s', 'p50 ms', 'p99 ms', 'CPU-ms a step'], overall),
    '',
    'CPU-ms a step, by process:',
    '',
    table(['', ...processes], byProcess),
  ].join('\n')
}

/** Puts the report between the marks of the page; throws when the marks are gone. */
export function writeReport(path: string, report: string): void {
  const page = readFileSync(path, 'utf8')
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)]
  if (begin < 0 || end < begin) throw new Error(`${path} has no place for figures: put ${BEGIN} and ${END} into it`)
  writeFileSync(path, `${page.slice(0, begin + BEGIN.length)}\n\n${report}\n\n${page.slice(end)}`)
}

function total(figures: Figures): number {
  return [...figures.cpuMsPerStep.values()].reduce((sum, ms) => sum + ms, 0)
}

function machine(): string {
  const cores = cpus()
  return `${cores.length} × ${cores[0]?.model.trim() ?? process.arch}, ${(totalmem() / BYTES_PER_GIB).toFixed(0)} GiB, ${process.platform}, Node ${process.versions.node}`
}

function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n')
}
