/** Runners that are broken on purpose are found out by the simulator, within a few seeds. */
import t from 'tap'
import { findOut } from './simulate/load-mutant.ts'
import { MUTANTS } from './simulate/mutants.ts'

for (const mutant of MUTANTS) {
  t.test(`a runner with "${mutant.name}" is found out: ${mutant.breaks}`, async (t) => {
    const found = await findOut(mutant)
    t.ok(found, found ?? 'not found out')
  })
}
