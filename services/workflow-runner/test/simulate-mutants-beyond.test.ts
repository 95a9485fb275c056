/** Runners that are broken on purpose are found out by the simulator, where runs are tied to others. */
import t from 'tap'
import { findOut } from './simulate/load-mutant.ts'
import { MUTANTS_BEYOND } from './simulate/mutants-beyond.ts'

for (const mutant of MUTANTS_BEYOND) {
  t.test(`a runner with "${mutant.name}" is found out: ${mutant.breaks}`, async (t) => {
    const found = await findOut(mutant)
    t.ok(found, found ?? 'not found out')
  })
}
