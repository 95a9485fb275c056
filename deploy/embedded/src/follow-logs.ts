import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { StackPaths } from './stack-paths.ts'
import { StackProblem } from './stack-problem.ts'

const COLOURS = [36, 33, 32, 35, 34, 31, 96, 93, 92, 95]

/** Prints the end of each log and what is added to it, each line under its program's name, until `stop`. One program with `only`. */
export function followLogs(paths: StackPaths, only?: string): { stop(): void; done: Promise<unknown> } {
  const names = existsSync(paths.logs) ? readdirSync(paths.logs).flatMap((file) => /^(.*)\.log$/.exec(file)?.[1] ?? []) : []
  const chosen = names.filter((name) => !only || name === only || name.startsWith(`${only}-`)).sort()
  if (chosen.length === 0)
    throw new StackProblem(
      only ? `There is no log of ${only}; there are: ${names.join(', ') || 'none'}.` : 'There are no logs yet: make up starts the stack.',
    )
  const width = Math.max(...chosen.map((name) => name.length))
  const tails = chosen.map((name, index) => follow(join(paths.logs, `${name}.log`), prefixOf(name.padEnd(width), index)))
  return {
    stop: () => {
      for (const tail of tails) tail.kill()
    },
    done: Promise.all(tails.map((tail) => new Promise((resolve) => tail.once('exit', resolve)))),
  }
}

function prefixOf(name: string, index: number): string {
  return process.stdout.isTTY ? `\x1b[${COLOURS[index % COLOURS.length]}m${name}\x1b[0m | ` : `${name} | `
}

function follow(file: string, prefix: string): ChildProcess {
  const tail = spawn('tail', ['-n', '20', '-F', file], { stdio: ['ignore', 'pipe', 'ignore'] })
  createInterface({ input: tail.stdout }).on('line', (line) => console.log(prefix + line))
  return tail
}
