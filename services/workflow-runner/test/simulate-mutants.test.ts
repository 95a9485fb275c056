/** Runners that are broken on purpose are found out by the simulator, within a few seeds. The second half of them has a file of its own. */
import t from 'tap'
import { findOut } from './simulate/load-mutant.ts'
import { MUTANTS } from './simulate/mutants.ts'

for (const mutant of MUTANTS.slice(0, MUTANTS.length / 2)) {
  t.test(`a runner with "${mutant.name}" is found out: ${mutant.breaks}`, async (t) => {
    const found = await findOut(mutant)
    t.ok(found, found ?? 'not found out')
  })
}
