/** Loads runners that are broken on purpose. */
import { resolve } from 'node:path'
import { createMutantLoader, type Simulation } from '@baton/testing/simulate'
import { MUTANTS } from './mutants.ts'

const ROOT = resolve(import.meta.dirname, '../../../..')
const FOLDERS = ['packages/engine/src', 'packages/runtime/src', 'packages/store/src', 'services/workflow-runner']

const load = createMutantLoader(
  ROOT,
  FOLDERS,
  MUTANTS.map((mutant) => (mutant.file === undefined ? undefined : mutant)),
)

/** The runner of the mutant at this place of the table. Throws when a text that it replaces is not there, or is there twice. */
export async function loadMutant(index: number): Promise<Pick<Simulation, 'startRunner' | 'forkEvents'>> {
  const module = await load(index, (suffix) => import(`./start-runner.ts${suffix}`) as Promise<typeof import('./start-runner.ts')>)
  return { startRunner: module.startRunner, forkEvents: module.forkEvents }
}
