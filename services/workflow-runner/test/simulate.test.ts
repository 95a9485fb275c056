/** Random workflows on real runners between a Postgres, a Redis, workers and people that are simulated. `make simulate` does many more. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { simulate } from '@baton/testing/simulate'
import t from 'tap'
import * as runner from './simulate/start-runner.ts'

const SEEDS = 150

t.test(`${SEEDS} seeds keep what is promised`, async (t) => {
  const ends = new Set<string>()
  const faults = new Set<string>()
  const told = new Set<string>()
  for (let seed = 1; seed <= SEEDS; seed++) {
    const outcome = await simulate({ seed, ...runner })
    if (outcome.violation) t.fail(`seed ${seed}: ${outcome.violation}`)
    for (const end of outcome.ends) ends.add(end)
    for (const fault of outcome.faults.keys()) faults.add(fault)
    for (const what of outcome.told) told.add(what)
  }
  for (const end of ['succeeded', 'failed', 'cancelled', 'timed_out']) t.ok(ends.has(end), `some runs ${end}`)
  const kinds = ['run.reopened', 'run.forked', 'run.admitted', 'an event that was taken', 'a child that was started']
  for (const what of [...kinds, 's[n].s', 's.s[n].s', 's.compensate', 's[n].s.compensate', 'step.retrying'])
    t.ok(told.has(what), `there was ${what}`)
  for (const fault of ['killHot', 'stopHot', 'lateCommit', 'lostAnswer', 'emptied', 'forgets', 'sentAgain', 'jump'])
    t.ok(faults.has(fault), `there was ${fault}`)
})

t.test('the same seed tells the same story', async (t) => {
  const [first, again] = [await simulate({ seed: 11, ...runner, traced: true }), await simulate({ seed: 11, ...runner, traced: true })]
  t.ok(first.trace.length > 20)
  t.strictSame(again, first)
})

t.test('a simulation of no seeds is refused', async (t) => {
  const main = join(import.meta.dirname, 'simulate/main.ts')
  for (const [args, name] of [
    [['abc', '1'], 'SEEDS'],
    [['0', '1'], 'SEEDS'],
    [['5', '1.5'], 'SEED'],
  ] as const) {
    const { status, stderr } = spawnSync(process.execPath, ['--conditions=@baton/source', main, ...args], { encoding: 'utf8' })
    t.equal(status, 2)
    t.match(stderr, `simulate: ${name} has to be a whole number`)
  }
})
