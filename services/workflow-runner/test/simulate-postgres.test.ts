/** What the simulated Postgres answers is what a real one answers. SEEDS=300 node … does more of them. */
import { connect } from '@baton/store'
import { testDatabase } from '@baton/testing'
import { type Statement, simulate } from '@baton/testing/simulate'
import t from 'tap'
import { replay, takeClock } from './simulate/replay.ts'
import * as runner from './simulate/start-runner.ts'

const SEEDS = Number(process.env.SEEDS ?? 25)

t.test(`the statements of ${SEEDS} simulations are answered by Postgres as they were`, async (t) => {
  const { url } = await testDatabase(t)
  const sql = connect(url, { max: 1, genericPlans: true })
  t.teardown(() => sql.end({ timeout: 1 }))
  await takeClock(sql)
  const asked = new Set<string>()
  for (let seed = 1; seed <= SEEDS; seed++) {
    const statements: Statement[] = []
    const { violation } = await simulate({ seed, ...runner, statements })
    t.equal(violation, undefined, `seed ${seed}`)
    for (const { name } of statements) asked.add(name)
    const otherwise = await replay(sql, statements)
    if (otherwise) return t.fail(`seed ${seed}: ${otherwise}`)
  }
  for (const name of ['commit', 'createFork', 'acceptEvents', 'vote', 'due', 'active', 'stale', 'snapshotOf'])
    t.ok(asked.has(name), `some asked for ${name}`)
})
