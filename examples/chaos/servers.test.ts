/** Postgres and Redis are taken away under load, each way that they can go, while calls of 40 s are held. */
import { until } from '@baton/testing'
import { test } from 'tap'
import { openScene, type Scene, tell } from './scene.ts'
import { SLOW_MS } from './workload.ts'

const HELD = 4
const BATCH = 60
const CLOCK_MS = 500
/** CONTRACT §6: every open run goes on within this. */
const MOVES_MS_MAX = 30_000
const END_MS = 90_000

/** Starts a batch of chains, and resolves when the shop has been called for about half of their steps. */
async function underLoad(scene: Scene): Promise<string[]> {
  const before = (await scene.calls()).length
  const runs = await scene.startMany('chain', BATCH)
  await until(async () => (await scene.calls()).length > before + BATCH * 3, { timeoutMs: 60_000, what: 'half of the calls' })
  return runs.map(({ id }) => id)
}

/** Of these runs those that were open at a moment, with how long each then took to have its next event. */
async function movesAfter(scene: Scene, ids: readonly string[], at: number): Promise<number[]> {
  const { client } = scene.reach
  const moves: number[] = []
  for (const id of ids) {
    const run = await client.runs.wait(id, { timeoutMs: END_MS })
    if (Date.parse(run.endedAt!) <= at) continue
    for await (const event of client.runs.events(id)) {
      if (Date.parse(event.time) <= at) continue
      moves.push(Date.parse(event.time) - at)
      break
    }
  }
  return moves
}

test('what is taken from under 12 services comes back to them: nothing is lost, and a call of 40 s that is held is not made twice', {
  timeout: 280_000,
}, async (t) => {
  const scene = await openScene(t, 'servers')
  const { stack } = scene
  const { redis, postgres } = stack
  const held = await scene.startMany('slow', HELD)
  const heldCalls = async () => (await scene.calls()).filter(({ path }) => held.some(({ order }) => path === `/orders/${order}.held1`))
  await until(async () => (await heldCalls()).length === HELD, { what: 'the long calls to be held' })

  await t.test('SIGKILL of all runners', async () => {
    const ids = await underLoad(scene)
    await Promise.all(stack.of('workflow-runner').map((runner) => runner.end('SIGKILL')))
    await movesAfter(scene, ids, 0)
  })

  for (const how of ['FLUSHALL', 'SIGKILL and start', 'SIGKILL and start without its data', 'full disk'] as const) {
    await t.test(`Redis: ${how}: every open run moves within 30 s`, async (t) => {
      const ids = await underLoad(scene)
      const at = Date.now()
      if (how === 'FLUSHALL') await redis.flushAll()
      else if (how === 'full disk') {
        if ('missing' in redis.disk) return t.comment(`left out: ${redis.disk.missing}`)
        redis.disk.fill()
        await new Promise((resolve) => setTimeout(resolve, 4_000))
        redis.disk.free()
      } else {
        await redis.kill()
        await redis.start({ emptied: how.endsWith('data') })
      }
      const moves = await movesAfter(scene, ids, at)
      t.ok(moves.length > 0, `${moves.length} of ${BATCH} runs were open`)
      t.ok(Math.max(...moves) < MOVES_MS_MAX, `the last one moved after ${Math.max(...moves)} ms`)
      tell(`  Redis, ${how}: ${moves.length} open runs, the last one moved after ${Math.max(...moves)} ms`)
    })
  }

  for (const how of ['fast', 'immediate', 'terminate'] as const) {
    await t.test(`Postgres: ${how === 'terminate' ? 'pg_terminate_backend of all, five times' : `${how} restart`}`, async (t) => {
      const ids = await underLoad(scene)
      const at = Date.now()
      if (how === 'terminate') for (let n = 0; n < 5; n++) await postgres.terminateBackends()
      else await postgres.restart(how, 1_000)
      const moves = await movesAfter(scene, ids, at)
      t.ok(moves.length > 0, `${moves.length} of ${BATCH} runs were open`)
      t.ok(Math.max(...moves) < MOVES_MS_MAX, `the last one moved after ${Math.max(...moves)} ms`)
      tell(`  Postgres, ${how}: ${moves.length} open runs, the last one moved after ${Math.max(...moves)} ms`)
    })
  }

  await scene.finish(SLOW_MS + END_MS)
  const made = await heldCalls()
  t.equal(made.length, HELD, 'each long call was made once')
  const heldMs = made.map(({ startedAt, endedAt }) => (endedAt === null ? 0 : endedAt - startedAt))
  // A timer may be early by the wall clock, which is set now and then.
  t.ok(Math.min(...heldMs) >= SLOW_MS - CLOCK_MS, `and was held to its end, for ${heldMs.join(', ')} ms`)
})
