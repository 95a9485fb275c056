import { spawnSync } from 'node:child_process'
import { StackProblem } from './stack-problem.ts'

/** Where the stack runs: as processes of this machine, or as containers. */
export type StackMode = 'local' | 'docker'

/** BATON_MODE, else docker when an engine with compose answers within 3 s, else local. */
export function chooseMode(given: string | undefined): StackMode {
  if (given === 'local' || given === 'docker') return given
  if (given) throw new StackProblem(`BATON_MODE must be local or docker, and is "${given}".`)
  return answers(['info']) && answers(['compose', 'version']) ? 'docker' : 'local'
}

function answers(args: string[]): boolean {
  return spawnSync('docker', args, { stdio: 'ignore', timeout: 3_000 }).status === 0
}
