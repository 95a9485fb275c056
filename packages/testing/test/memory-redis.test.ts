/** The Redis of the simulator beside a real one: the same random commands are answered alike. */

import { isDeepStrictEqual } from 'node:util'
import { testRedis } from '@baton/testing'
import { createDice, createMemoryRedis, type Dice, type MemoryRedis } from '@baton/testing/simulate'
import { Redis } from 'ioredis'
import t from 'tap'

const SEEDS = 60
const COMMANDS = 80
const STREAMS = ['s']
const GROUP = 'g'

type Command = [name: string, ...args: (string | number)[]]

/** One side: executes, and writes ids as the order in which they were given. */
interface Side {
  execute(command: Command): Promise<unknown>
  ids: string[]
}

function randomCommand(dice: Dice, entries: number): Command {
  const stream = dice.pick(STREAMS)
  const consumer = dice.pick(['ann', 'bob'])
  const some = () => Array.from({ length: 1 + dice.below(3) }, () => `#${dice.below(Math.max(1, entries))}`)
  const one = some()[0]!
  return dice.pick<Command>([
    ['xadd', stream, '*', 'd', String(dice.below(100))],
    ['xadd', stream, '*', 'd', 'x'],
    ['xgroup', 'CREATE', stream, GROUP, dice.pick(['0', '0', '$']), 'MKSTREAM'],
    ['xreadgroup', 'GROUP', GROUP, consumer, 'COUNT', 1 + dice.below(3), 'STREAMS', ...STREAMS, '>'],
    ['xreadgroup', 'GROUP', GROUP, consumer, 'COUNT', 5, 'STREAMS', stream, '0'],
    ['xack', stream, GROUP, ...some()],
    ['xdel', stream, ...some()],
    ['xrange', stream, '-', '+', 'COUNT', 1 + dice.below(4)],
    ['xrange', stream, `(${one}`, '+', 'COUNT', 10],
    ['xrange', stream, one, one],
    ['xclaim', stream, GROUP, consumer, 0, ...some()],
    ['xclaim', stream, GROUP, consumer, 0, one, 'JUSTID'],
    ['xpending', stream, GROUP, 'IDLE', 0, '-', '+', 10],
    ['xpending', stream, GROUP, one, one, 1],
    ['xtrim', stream, 'MINID', one],
    ['set', 'k', consumer, 'PX', 60_000, 'NX', 'GET'],
    ['set', 'k', consumer, 'NX'],
    ['get', 'k'],
    ['del', 'k'],
    ['exists', 'k'],
    ['incr', 'n'],
  ])
}

/** Ids are named by their order; times are left out. */
function named(value: unknown, ids: readonly string[]): unknown {
  if (Array.isArray(value)) return value.map((item) => named(item, ids))
  const at = typeof value === 'string' ? ids.indexOf(value) : -1
  return at < 0 ? value : `#${at}`
}

async function answerOf(side: Side, [name, ...args]: Command): Promise<unknown> {
  const given = args.map((arg) => (typeof arg === 'string' ? arg.replace(/#(\d+)/, (_, n) => side.ids[Number(n)] ?? '0-1') : arg))
  try {
    const answer = await side.execute([name, ...given])
    if (name === 'xadd') side.ids.push(String(answer))
    const isPending = name === 'xpending' && Array.isArray(answer)
    return named(isPending ? answer.map(([id, consumer, , deliveries]) => [id, consumer, deliveries]) : answer, side.ids)
  } catch (error) {
    return (error as Error).message.split(' ')[0]
  }
}

function memorySide(server: MemoryRedis): Side {
  return { ids: [], execute: async ([name, ...args]) => server.execute(name, args, 'test') }
}

t.test('random commands are answered as by Redis', async (t) => {
  const { url } = await testRedis(t)
  const redis = new Redis(url)
  t.teardown(() => redis.disconnect())
  for (let seed = 1; seed <= SEEDS; seed++) {
    await redis.flushall()
    const dice = createDice(seed)
    const real: Side = { ids: [], execute: ([name, ...args]) => redis.call(name, ...args) }
    const memory = memorySide(createMemoryRedis(() => Date.now(), {}))
    const told: string[] = []
    for (let n = 0; n < COMMANDS; n++) {
      const command = randomCommand(dice, real.ids.length)
      told.push(command.join(' '))
      const [expected, found] = [await answerOf(real, command), await answerOf(memory, command)]
      if (isDeepStrictEqual(found, expected)) continue
      t.comment(told.join('\n'))
      return t.strictSame(found, expected, `seed ${seed}: ${command.join(' ')}`)
    }
    t.pass(`seed ${seed}`)
  }
})
