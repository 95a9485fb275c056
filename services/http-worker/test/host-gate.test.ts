/** Lines, places and turns of calls that wait for their host, without any clock, host or Redis but those of the test. */
import { createLogger } from '@baton/runtime'
import { until } from '@baton/testing'
import t from 'tap'
import { createBreakers } from '../src/breakers.ts'
import { failed, type Outcome } from '../src/call-http.ts'
import type { HeldCall } from '../src/held-calls.ts'
import { createHostGate, type HostGate } from '../src/host-gate.ts'
import type { RateBuckets } from '../src/rate-buckets.ts'
import { parseRateLimits } from '../src/rate-limits.ts'
import { createWaitingRoom } from '../src/waiting-room.ts'
import { callOf } from './calls.ts'

const OK: Outcome = { status: 'succeeded', output: null }
const DOWN = failed('BTN_HTTP_NETWORK', 'no connection', true)

interface World {
  gate: HostGate
  /** Calls whose turn has come, and that may ask again. */
  turns: HeldCall[]
  clock: { now: number }
  breakers: ReturnType<typeof createBreakers>
}

function build(options: { calls?: number; bytes?: number; limits?: string; take?: RateBuckets['take'] } = {}): World {
  const clock = { now: 0 }
  const { calls = 10, bytes = 1_000_000, limits = '', take = async () => ({ granted: 0, waitMs: 1_000_000 }) } = options
  const room = createWaitingRoom({ calls, bytes }, () => clock.now)
  const log = createLogger({ name: 'test', level: 'silent' })
  const breakers = createBreakers({ room, log, failures: 2, waitMs: 10_000, overdueMax: 2 })
  const gate = createHostGate({ room, breakers, limits: parseRateLimits(limits), buckets: { take } })
  const turns: HeldCall[] = []
  gate.onTurn((held) => turns.push(held))
  return { gate, turns, clock, breakers }
}

const heldOf = (url = 'https://a.example/x', namespace = 'default'): HeldCall => ({
  id: '',
  call: callOf({ url }, { namespace }),
  entry: {} as never,
  state: 'waiting',
  from: [],
  ask: false,
  announced: false,
  apart: false,
})

/** Makes a call that passes. */
function make({ gate }: World, outcome: Outcome, held = heldOf()): void {
  t.equal(gate.enter(held), 'go')
  gate.observe(held, outcome)
  gate.leave(held)
}

t.test('healthy hosts are not looked at', async (t) => {
  const world = build()
  make(world, OK)
  t.ok(world.gate.idle)
  make(world, DOWN)
  t.notOk(world.gate.idle)
  make(world, OK)
  t.ok(world.gate.idle, 'a success forgets the failures')
})

t.test('a breaker is of one origin and one namespace', async (t) => {
  const world = build()
  make(world, DOWN)
  make(world, DOWN, heldOf('https://A.example:443/y?z'))
  t.equal(world.gate.enter(heldOf()), 'wait')
  for (const url of ['http://a.example/', 'https://a.example:8443/', 'https://b.example/', '${{ secrets.URL }}/x']) {
    t.equal(world.gate.enter(heldOf(url)), 'go', url)
  }
  t.equal(world.gate.enter(heldOf('https://a.example/x', 'other')), 'go')
})

t.test('one call probes; a probe that is not made leaves its place to the next', async (t) => {
  const world = build()
  const { gate, turns, clock, breakers } = world
  make(world, DOWN)
  make(world, DOWN)
  const [first, second] = [heldOf(), heldOf()]
  t.same([gate.enter(first), gate.enter(second)], ['wait', 'wait'])
  t.same([breakers.open(), breakers.waiting()], [1, 2])
  clock.now = 1_000
  await until(() => turns.length > 0)
  t.same(turns, [first])
  t.equal(gate.enter(first), 'go')
  first.state = 'ended'
  gate.leave(first)
  t.same(turns, [first, second], 'the next one probes')
  t.equal(gate.enter(second), 'go')
  gate.observe(second, DOWN)
  gate.leave(second)
  t.equal(gate.enter(heldOf()), 'wait')
  clock.now = 2_500
  t.equal(breakers.open(), 1, 'after a probe that failed the next comes after twice the time')
})

t.test('a probe that waits for a rate limit and is withdrawn there leaves its place to the next', async (t) => {
  const world = build({ limits: 'a.example=1/s' })
  const { gate, clock, breakers } = world
  const failures = [heldOf(), heldOf()]
  for (const held of failures) breakers.down('default https://a.example', held)
  clock.now = 1_000
  const probe = heldOf()
  t.equal(gate.enter(probe), 'wait')
  t.equal(breakers.lineFor('default https://a.example', probe), undefined, 'it is the probe, and waits for the limit')
  await gate.withdraw(
    (held) => held === probe,
    async (held) => {
      held.state = 'ended'
      return true
    },
  )
  t.same(world.turns, [probe])
  t.equal(gate.enter(probe), 'wait')
  const next = heldOf()
  t.equal(breakers.lineFor('default https://a.example', next), undefined, 'the next one probes')
})

t.test('the first success lets all go, in the order in which they came', async (t) => {
  const world = build()
  const { gate, turns, breakers } = world
  const late = heldOf()
  t.equal(gate.enter(late), 'go')
  make(world, DOWN)
  make(world, DOWN)
  const waiting = [heldOf(), heldOf(), heldOf()]
  for (const held of waiting) t.equal(gate.enter(held), 'wait')
  gate.observe(late, OK)
  t.same(turns, waiting)
  t.same([breakers.open(), breakers.waiting()], [0, 0])
  for (const held of waiting) t.equal(gate.enter(held), 'go')
})

t.test('a call that finds no place keeps its slot, and gets the place that becomes free', async (t) => {
  const world = build({ calls: 1 })
  const { gate, turns, breakers } = world
  make(world, DOWN)
  make(world, DOWN)
  const [first, second, third] = [heldOf(), heldOf(), heldOf()]
  t.equal(gate.enter(first), 'wait')
  const turn = gate.enter(second)
  t.ok(turn instanceof Promise)
  const other = gate.enter(third)
  await gate.withdraw(
    (held) => held === first,
    async (held) => {
      held.state = 'ended'
      return true
    },
  )
  t.same(turns, [first], 'to find that it is over')
  t.equal(gate.enter(first), 'wait')
  await turn
  t.equal(gate.enter(second), 'wait', 'its slot is free now')
  t.equal(breakers.waiting(), 2)
  breakers.up('default https://a.example')
  t.same(turns, [first, second])
  await other
  t.equal(gate.enter(third), 'go')
})

t.test('bytes are bounded too', async (t) => {
  const world = build({ bytes: 3_000 })
  make(world, DOWN)
  make(world, DOWN)
  const large = heldOf()
  large.call.request.body = 'x'.repeat(5_000)
  t.equal(world.gate.enter(heldOf()), 'wait')
  t.ok(world.gate.enter(large) instanceof Promise)
  t.equal(world.gate.enter(heldOf()), 'wait')
})

t.test('all that wait are given back at the end, and nobody begins any more', async (t) => {
  const world = build({ calls: 1, limits: 'b.example=1/s' })
  const { gate } = world
  make(world, DOWN)
  make(world, DOWN)
  const waiting = [heldOf(), heldOf('https://b.example/'), heldOf()]
  const turns = waiting.map((held) => gate.enter(held))
  t.equal(turns[0], 'wait')
  const pace = gate.pace(callOf({ url: 'https://b.example/2' }))
  t.ok(pace instanceof Promise, 'a call under way that waits for its next page stays')
  t.same(new Set(gate.drain()), new Set(waiting))
  for (const turn of turns.slice(1)) await turn
  for (const held of waiting) t.equal(gate.enter(held), 'wait')
})

t.test('a limit lets go as many as it gives, the first first, and a call that waited pays once', async (t) => {
  const grants = [1, 0, 2]
  const asked: number[] = []
  const hosts = new Set<string>()
  const world = build({
    limits: '*.example=1/s',
    take: async (host, _limit, wanted) => {
      hosts.add(host)
      asked.push(wanted)
      return { granted: grants.shift() ?? 0, waitMs: 5 }
    },
  })
  const { gate, turns } = world
  const held = Array.from({ length: 4 }, () => heldOf())
  for (const one of held) t.equal(gate.enter(one), 'wait')
  await until(() => turns.length === 3)
  t.same(turns, held.slice(0, 3))
  t.equal(asked[0], 1, 'the first did not wait for others')
  t.same([...hosts], ['a.example'])
  t.equal(gate.enter(held[0]!), 'go')
  t.equal(gate.waitingForRate(), 1)
  gate.drain()
})
