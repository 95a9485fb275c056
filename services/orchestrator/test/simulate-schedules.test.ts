/** Schedules on two orchestrators among simulated faults; and orchestrators that are broken on purpose, which have to be found out. */
import { resolve } from 'node:path'
import { createMutantLoader, type SourceEdit } from '@baton/testing/simulate'
import t from 'tap'
import { type SchedulesOutcome, simulateSchedules } from './simulate/simulate-schedules.ts'

const SEEDS = Number(process.env.SEEDS ?? 100)
const MUTANT_SEEDS = 300
const SRC = 'services/orchestrator/src'

const MUTANTS: (SourceEdit & { breaks: string })[] = [
  {
    name: 'schedule that stays where it is',
    breaks: 'each slot is fired once',
    file: `${SRC}/fire-schedules.ts`,
    edits: [['move.nextAt = plan.nextAt', 'move.nextAt = nextAt']],
  },
  {
    name: 'last of the missed dropped',
    breaks: 'catchUp: last makes up for the newest slot that was missed',
    file: `${SRC}/plan-slots.ts`,
    edits: [['last: Math.max(0, missed - 1)', 'last: missed']],
  },
  {
    name: 'missed slots fired',
    breaks: 'catchUp: skip makes up for nothing',
    file: `${SRC}/plan-slots.ts`,
    edits: [['slot < since || now - slot > lateMsMax', 'now - slot > lateMsMax']],
  },
  {
    name: 'watching since the last look',
    breaks: 'a slot that came while somebody watched is not missed',
    file: `${SRC}/keep-time.ts`,
    edits: [['since ??= await options.clock()', 'since = await options.clock()']],
  },
  {
    name: 'watching since ever',
    breaks: 'a slot that came while nobody watched is missed',
    file: `${SRC}/keep-time.ts`,
    edits: [['since ??= await options.clock()', 'since ??= 0']],
  },
]

const load = createMutantLoader(resolve(import.meta.dirname, '../../..'), ['services/orchestrator'], MUTANTS)

t.test(`${SEEDS} seeds keep what schedules promise`, async (t) => {
  const totals = { fired: 0, dropped: 0 }
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { violation, fired, dropped } = await simulateSchedules(seed)
    if (violation) t.fail(`seed ${seed}: ${violation}`)
    totals.fired += fired
    totals.dropped += dropped
  }
  t.ok(totals.fired > 0 && totals.dropped > 0, JSON.stringify(totals))
})

for (const [index, { name, breaks }] of MUTANTS.entries()) {
  t.test(`an orchestrator with "${name}" is found out: ${breaks}`, async (t) => {
    type Module = { simulateSchedules(seed: number): Promise<SchedulesOutcome> }
    const module = await load(index, (suffix) => import(`./simulate/simulate-schedules.ts${suffix}`) as Promise<Module>)
    for (let seed = 1; seed <= MUTANT_SEEDS; seed++) {
      const { violation } = await module.simulateSchedules(seed)
      if (violation) return t.pass(`seed ${seed}: ${violation}`)
    }
    t.fail(`not in ${MUTANT_SEEDS} seeds`)
  })
}
