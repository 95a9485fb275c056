/** Runners that are broken on purpose are found out by the simulator, within a few seeds. */
import { simulate } from '@baton/testing/simulate'
import t from 'tap'
import { loadMutant } from './simulate/load-mutant.ts'
import { MUTANTS } from './simulate/mutants.ts'

const SEEDS = 300

for (const [index, mutant] of MUTANTS.entries()) {
  t.test(`a runner with "${mutant.name}" is found out: ${mutant.breaks}`, async (t) => {
    const runner = await loadMutant(index)
    const first = mutant.firstSeed ?? 1
    for (let seed = first; seed < first + SEEDS; seed++) {
      const { violation } = await simulate({ seed, ...runner, faults: mutant.fault ? [mutant.fault] : [] })
      if (violation) return t.pass(`seed ${seed}: ${violation}`)
    }
    t.fail(`not in ${SEEDS} seeds`)
  })
}
