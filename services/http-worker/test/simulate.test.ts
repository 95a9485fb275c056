/** Real workers among simulated faults; and workers that are broken on purpose, which have to be found out. */
import { resolve } from 'node:path'
import { createMutantLoader, type SourceEdit } from '@baton/testing/simulate'
import t from 'tap'
import { takeCalls } from '../src/take-calls.ts'
import { simulateWorkers, type TakeCalls } from './simulate-workers.ts'

const SEEDS = 150
const MUTANT_SEEDS = 300
const SRC = 'services/http-worker/src'

const MUTANTS: (SourceEdit & { breaks: string })[] = [
  {
    name: 'pack deduplicated as a whole',
    breaks: 'each call of a pack is deduplicated by itself',
    file: `${SRC}/held-calls.ts`,
    edits: [['inHand.from.push(from)\n          continue', 'inHand.from.push(from)\n          break']],
  },
  {
    name: 'entry acknowledged before its calls are answered',
    breaks: 'an entry stays until all of its calls are answered',
    file: `${SRC}/held-calls.ts`,
    edits: [['if (--held.entry.open === 0) close(held.entry)', 'if (--held.entry.open >= 0 && entries.has(held.entry)) close(held.entry)']],
  },
  {
    name: 'call taken over and not asked about',
    breaks: 'a call that was taken over is asked about first',
    file: `${SRC}/read-calls.ts`,
    edits: [['{ from, ask: true, doubtful: false }', '{ from, ask: false, doubtful: false }']],
  },
  {
    name: 'call sent again and not asked about',
    breaks: 'a call that was sent again is asked about first',
    file: `${SRC}/held-calls.ts`,
    edits: [['ask: ask || call.resent === true', 'ask']],
  },
  {
    name: 'calls not kept alive',
    breaks: 'a call that is held is not made by another worker',
    file: `${SRC}/keep-alive.ts`,
    edits: [['await keep(redis, consumer, held)', 'void keep']],
  },
  {
    name: 'claim good for ever',
    breaks: 'a call whose first worker may come back with its result is not begun long after it was asked about',
    file: `${SRC}/run-call.ts`,
    edits: [
      ['const FRESH_MS = 2_500', 'const FRESH_MS = 60_000'],
      ['const FRESH_ANSWER_MS = 250', 'const FRESH_ANSWER_MS = 60_000'],
    ],
  },
  {
    name: 'call begun whatever happened since it was claimed',
    breaks: 'a call that others may have taken over since is asked about once more',
    file: `${SRC}/run-call.ts`,
    edits: [['const mayBegin = () => holds(since) && ', 'const mayBegin = () => holds !== undefined || ']],
  },
]

const load = createMutantLoader(resolve(import.meta.dirname, '../../..'), ['packages/runtime/src', 'services/http-worker'], MUTANTS)

t.test(`${SEEDS} seeds keep what is promised`, async (t) => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const violation = await simulateWorkers(seed, takeCalls)
    if (violation) t.fail(`seed ${seed}: ${violation}`)
  }
})

for (const [index, { name, breaks }] of MUTANTS.entries()) {
  t.test(`a worker with "${name}" is found out: ${breaks}`, async (t) => {
    const module = await load(index, (suffix) => import(`../src/take-calls.ts${suffix}`) as Promise<{ takeCalls: TakeCalls }>)
    for (let seed = 1; seed <= MUTANT_SEEDS; seed++) {
      const violation = await simulateWorkers(seed, module.takeCalls)
      if (violation) return t.pass(`seed ${seed}: ${violation}`)
    }
    t.fail(`not in ${MUTANT_SEEDS} seeds`)
  })
}
