/** Loads runners that are broken on purpose. */
import { resolve } from 'node:path'
import { createMutantLoader, type Simulation, simulate } from '@baton/testing/simulate'
import { MUTANTS, type Mutant } from './mutants.ts'
import { MUTANTS_BEYOND } from './mutants-beyond.ts'

const ROOT = resolve(import.meta.dirname, '../../../..')
const FOLDERS = ['packages/engine/src', 'packages/runtime/src', 'packages/store/src', 'services/workflow-runner']

const ALL = [...MUTANTS, ...MUTANTS_BEYOND]

const load = createMutantLoader(
  ROOT,
  FOLDERS,
  ALL.map((mutant) => (mutant.file === undefined ? undefined : mutant)),
)

/** The runner of a mutant. Throws when a text that it replaces is not there, or is there twice. */
async function loadMutant(mutant: Mutant): Promise<Pick<Simulation, 'startRunner' | 'forkEvents'>> {
  const module = await load(
    ALL.indexOf(mutant),
    (suffix) => import(`./start-runner.ts${suffix}`) as Promise<typeof import('./start-runner.ts')>,
  )
  return { startRunner: module.startRunner, forkEvents: module.forkEvents }
}

const SEEDS = 300

/** The first seed of 300 in which the mutant is found out, and what betrays it. */
export async function findOut(mutant: Mutant): Promise<string | undefined> {
  const runner = await loadMutant(mutant)
  const first = mutant.firstSeed ?? 1
  for (let seed = first; seed < first + SEEDS; seed++) {
    const { violation } = await simulate({ seed, ...runner, faults: mutant.fault ? [mutant.fault] : [] })
    if (violation) return `seed ${seed}: ${violation}`
  }
  return undefined
}
