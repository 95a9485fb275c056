/** The second half of the runners that are broken on purpose: simulate-mutants.test.ts has the first. */
import t from 'tap'
import { findOut } from './simulate/load-mutant.ts'
import { MUTANTS } from './simulate/mutants.ts'

for (const mutant of MUTANTS.slice(MUTANTS.length / 2)) {
  t.test(`a runner with "${mutant.name}" is found out: ${mutant.breaks}`, async (t) => {
    const found = await findOut(mutant)
    t.ok(found, found ?? 'not found out')
  })
}
