/**
 * One simulation: a world made of a seed, in which real runners work between a Postgres, a Redis, workers and people in memory. First there is
 * weather; then it calms down, and everything has to come to its end.
 */
import { createAgentQueue, startAgentRunner } from './agent-turns.ts'
import { enterRun, startRuns } from './begin-runs.ts'
import { startCallsWorker, type WorkerWorld } from './calls-worker.ts'
import { checkEnd, isAtRest } from './check-end.ts'
import { type Checker, createChecker } from './checker.ts'
import { createDice, type Dice } from './dice.ts'
import { EPOCH, installClock } from './install-clock.ts'
import { createMemoryRedis } from './memory-redis.ts'
import type { RunHeader } from './memory-rows.ts'
import { createTables, type TableFault } from './memory-tables.ts'
import type { ForkEvents, StartedRun } from './people.ts'
import type { Definition } from './random-workflow.ts'
import { recordStatements, type Statement } from './record-statements.ts'
import { connectMemoryRedis, type MemoryClient } from './redis-client.ts'
import { createScheduler, type Process } from './scheduler.ts'
import { connectMemoryStore, type StoreClient } from './store-client.ts'
import { drawWeather, expose } from './weather.ts'

/** A promise of what is simulated, to be broken: the simulator has to notice. */
export type Fault = TableFault | 'job kept'

/** Where a runner stands in the world; it starts when it is called, inside of its process. */
export interface RunnerPlace {
  name: string
  redis: MemoryClient
  /** A connection that fails rather than send anything twice. */
  sending: MemoryClient
  store: StoreClient
  holder: { held(): number[]; tend(): Promise<boolean>; release(): Promise<void> }
  agentTurns: { addMany(turns: readonly object[]): Promise<void> }
  definitionOf(checksum: string): Definition
  /** The checksum of a saved workflow, by its name. */
  childOf(name: string): string | undefined
  /** What Postgres holds of a run, or undefined when it is not at this seq. */
  eventsAt(runId: string, seq: number): string[] | undefined
  checker: Checker
  dice: Dice
  lane: number
}

export interface Simulation {
  seed: number
  startRunner(place: RunnerPlace): void
  forkEvents: ForkEvents
  faults?: readonly Fault[]
  /** Keeps a line for everything that happens. */
  traced?: boolean
  /** Takes every statement on Postgres. */
  statements?: Statement[]
}

export interface Outcome {
  violation: string | undefined
  trace: string[]
  /** Events that happened, virtual ms that passed, and how the runs ended. */
  steps: number
  ms: number
  ends: string[]
  /** What came about in the runs: types of events, and paths of steps without their ids. */
  told: ReadonlySet<string>
  faults: ReadonlyMap<string, number>
}

const STEPS_MAX = 200_000
/** Of a page of earlier events: small, so that there are several. */
const EVENTS_PAGE = 3
/** One world of so many is of loops that pause: told by its seed, so that the dice of the others stay as they are. */
const PAUSING_EVERY = 10
/** How long everything may take to come to rest when the weather is calm. */
const REST_MS_MAX = 180_000

/** Runs the simulation to its end or its first violation. */
export async function simulate(simulation: Simulation): Promise<Outcome> {
  const world = createWorld(simulation)
  const restore = installClock(world.scheduler)
  try {
    const isOver = () => world.checker.violation !== undefined || world.isDone()
    if (!(await world.scheduler.run(isOver, STEPS_MAX))) world.checker.fail('it goes on and on')
    if (!world.checker.violation) checkEnd(world, world.rest)
  } finally {
    restore()
  }
  const { violation, histories } = world.checker
  const ends = [...histories.values()].map(({ terminal }) => terminal ?? 'open')
  const events = [...histories.values()].flatMap((history) => history.events)
  const told = new Set(
    events.flatMap(({ type, path, data }) => [
      type,
      path.replaceAll(/s\d+/g, 's').replaceAll(/\[\d+\]/g, '[n]'),
      ...(data.accepted === undefined ? [] : ['an event that was taken']),
      ...(type === 'step.scheduled' && data.run !== undefined ? ['a child that was started'] : []),
    ]),
  )
  return {
    violation,
    trace: world.lines,
    steps: world.scheduler.steps,
    ms: world.scheduler.now(),
    ends,
    told,
    faults: world.weather.faults,
  }
}

function createWorld(simulation: Simulation) {
  const dice = createDice(simulation.seed)
  const faults = new Set(simulation.faults ?? [])
  const scheduler = createScheduler()
  const weather = drawWeather(dice)
  const lines: string[] = []
  const clocks = { pg: 0 }
  const trace = (line: () => string) => {
    if (simulation.traced) lines.push(`${scheduler.now().toFixed(1).padStart(9)} ${(scheduler.current?.name ?? '').padEnd(9)} ${line()}`)
  }
  const pgNow = () => EPOCH + Math.floor(scheduler.now() + clocks.pg)
  const checker: Checker = createChecker({
    steps: () => scheduler.steps,
    pgNow,
    redis: () => server,
    run: (runId) => tables.runs.get(runId),
    hasTimer: (runId, path) => [...tables.timers.values()].some((timer) => timer.runId === runId && timer.path === path),
    trace,
  })
  const server = createMemoryRedis(() => EPOCH + Math.floor(scheduler.now()), checker.streamWatcher)
  const own = createTables(pgNow, {
    watcher: { ...checker.tableWatcher, created: (header) => enter(header) },
    faults: faults as ReadonlySet<TableFault>,
    // A real Postgres is asked for pages of another length.
    page: simulation.statements ? Number.POSITIVE_INFINITY : EVENTS_PAGE,
    later: (act) => void scheduler.after(200, act),
  })
  const tables = simulation.statements ? recordStatements(own, simulation.statements) : own
  const base = { server, scheduler, weather, dice: dice.fork(), awayUntil: 0, tables, checker, poisoned: new Set<string>(), trace }
  const world: WorkerWorld = base
  const queue = createAgentQueue(world)
  const definitions = new Map<string, Definition>()
  const runs: StartedRun[] = []
  const enter = (header: RunHeader) => enterRun(world, runs, definitions, header)
  const pausing = simulation.seed % PAUSING_EVERY === 0
  startRuns(world, dice, { definitions, runs, forkEvents: simulation.forkEvents, pausing })
  const rest = { runs, turns: () => [...queue.jobs.values()].filter(({ state }) => state !== 'kept').length }
  const place = { world, simulation, queue, definitions, faults, clocks, processes: new Set<Process>() }
  populate(place, dice)
  const calmAt = dice.between(3_000, 15_000)
  stir(place, dice.fork(), calmAt)
  return Object.assign(base, { lines, rest, isDone: createEnd(world, rest, calmAt) })
}

/** Tells when everything is at rest, or that it does not come to rest. */
function createEnd(world: WorkerWorld, rest: Parameters<typeof isAtRest>[1], calmAt: number): () => boolean {
  const { scheduler, checker } = world
  let done = false
  const look = () => {
    done = isAtRest(world, rest)
    if (done) return
    if (scheduler.now() > calmAt + REST_MS_MAX) checker.fail(stuck(world, rest.runs))
    scheduler.after(250, look)
  }
  scheduler.after(calmAt + 500, look)
  return () => done
}

function stuck({ tables, checker, server }: WorkerWorld, runs: readonly StartedRun[]): string {
  const open = runs.filter(({ runId }) => checker.historyOf(runId).terminal === undefined)
  const steps = open.flatMap(({ runId }) => {
    const going = [...checker.historyOf(runId).steps.values()].filter(({ end }) => !end)
    return [`run ${runId} ${tables.runs.get(runId)?.status}`, ...going.map(({ path, status, attempt }) => `${path} ${status} ${attempt}`)]
  })
  const streams = [...server.streams.all].filter(([name, { entries }]) => !name.startsWith('events:') && entries.length > 0)
  return `it does not come to rest: ${steps.join(', ')}; inbox ${tables.inbox.size}; ${streams.map(([name, { entries }]) => `${name} ${entries.length}`).join(', ')}`
}

interface Place {
  world: WorkerWorld
  simulation: Simulation
  queue: ReturnType<typeof createAgentQueue>
  definitions: Map<string, Definition>
  faults: ReadonlySet<Fault>
  clocks: { pg: number }
  processes: Set<Process>
}

/** Two runners, two http-workers, an agent-runner; whoever is killed comes back. */
function populate(place: Place, dice: Dice): void {
  const { world, simulation, queue, faults } = place
  const live = (name: string, start: (process: Process) => void) => {
    const process = world.scheduler.spawn(name)
    place.processes.add(process)
    const rebirth = () => {
      world.trace(() => `killed ${name}`)
      place.processes.delete(process)
      world.scheduler.after(dice.between(100, 4_000), () => live(name, start))
    }
    expose(process, world.scheduler, world.weather, dice, rebirth)
    world.scheduler.enter(process, () => start(process))
  }
  const runners = dice.chance(0.85) ? 2 : 1
  for (let n = 0; n < runners; n++) live(`runner-${n}`, (process) => simulation.startRunner(runnerPlace(place, process, n, runners)))
  for (const name of ['worker-0', 'worker-1']) live(name, (process) => startCallsWorker(world, process))
  live('agents-0', (process) => startAgentRunner(world, queue, process, faults.has('job kept')))
}

const PARTITIONS = Array.from({ length: 16 }, (_, partition) => partition)

function runnerPlace({ world, queue, definitions }: Place, process: Process, index: number, runners: number): RunnerPlace {
  const { weather, dice, tables, checker } = world
  let held: number[] = []
  const fair = PARTITIONS.filter((partition) => partition % runners === index)
  const redis = connectMemoryRedis(world, process)
  return {
    name: process.name,
    redis,
    sending: connectMemoryRedis(world, process, { whileAway: 'fail' }),
    store: connectMemoryStore(world, process),
    holder: {
      held: () => held,
      async tend() {
        await redis.get(`lease:${index}`)
        const before = held.join()
        // Leases are for warmth alone: two may hold a partition, or nobody for a while.
        held = weather.chance('shuffled') ? PARTITIONS.filter(() => dice.chance(0.6)) : fair
        return held.join() !== before
      },
      async release() {
        held = []
      },
    },
    agentTurns: queue.producer(process) as RunnerPlace['agentTurns'],
    definitionOf: (checksum) => definitions.get(checksum)!,
    childOf: (name) => (definitions.has(`sha256:${name}`) ? `sha256:${name}` : undefined),
    eventsAt(runId, seq) {
      const run = tables.runs.get(runId)
      return run?.seq === seq ? run.events : undefined
    },
    checker,
    dice: dice.fork(),
    lane: index,
  }
}

/** Once a second something may befall Redis or a clock; at last all is calm. */
function stir({ world, queue, clocks, processes }: Place, dice: Dice, calmAt: number): void {
  const { scheduler, weather, server, trace } = world
  const second = () => {
    if (scheduler.now() >= calmAt) {
      weather.calmDown()
      trace(() => 'calm')
      return
    }
    if (weather.chance('emptied')) {
      trace(() => 'redis emptied')
      server.flush()
      queue.jobs.clear()
    }
    if (weather.chance('forgets')) {
      trace(() => 'redis forgets')
      server.forget(EPOCH + scheduler.now() - 1_000, () => dice.chance(0.5))
    }
    if (weather.chance('jump')) {
      world.checker.pgLatest()
      clocks.pg += dice.between(-3_000, 5_000)
    }
    // All of them may be between a stop and a start.
    if (weather.chance('jump') && processes.size > 0) dice.pick([...processes]).clockMs += dice.between(-30_000, 30_000)
    scheduler.after(1_000, second)
  }
  scheduler.after(0, second)
}
