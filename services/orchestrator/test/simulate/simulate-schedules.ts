/** Two orchestrators that keep the time of schedules, among faults: the real clock and the real firing, on a Postgres in memory. */
import { type Json, newUuid } from '@baton/contracts'
import { createDice, createScheduler, drawWeather, EPOCH, expose, installClock, type Process } from '@baton/testing/simulate'
import { fireDue } from '../../src/fire-schedules.ts'
import { keepTime } from '../../src/keep-time.ts'
import type { RunToStart } from '../../src/start-runs.ts'
import { createScheduleTables, type Schedule, type ScheduleWorld } from './memory-schedules.ts'

const CALM_MS = 40_000
/** By then whoever was stopped or killed is back, and what was missed is made up for. */
const SETTLED_MS = 60_000
const END_MS = 80_000
const STEPS_MAX = 200_000
const LATE_MS_MAX = 5_000
const POLICIES = ['skip', 'last', 'all'] as const

/** What came of a seed: what went wrong, and how many slots were fired and dropped. */
export interface SchedulesOutcome {
  violation: string | undefined
  fired: number
  dropped: number
}

/** Simulates the seed. */
export async function simulateSchedules(seed: number): Promise<SchedulesOutcome> {
  const dice = createDice(seed)
  const scheduler = createScheduler()
  const weather = drawWeather(dice)
  let violation: string | undefined
  const now = () => EPOCH + Math.floor(scheduler.now())
  const fail = (text: string) => {
    violation ??= text
  }
  const schedules = new Map(POLICIES.map((catchUp) => [catchUp, scheduleOf(catchUp, dice.pick([1_000, 2_000, 5_000]))]))
  const world: ScheduleWorld = { scheduler, weather, dice: dice.fork(), now, schedules, lateMsMax: LATE_MS_MAX, fail }
  const tables = createScheduleTables(world)
  const restore = installClock(scheduler)
  try {
    for (const name of ['orchestrator-0', 'orchestrator-1']) live(world, tables, name)
    scheduler.after(CALM_MS, weather.calmDown)
    const isOver = () => violation !== undefined || scheduler.now() > END_MS
    if (!(await scheduler.run(isOver, STEPS_MAX))) fail('it goes on and on')
    for (const schedule of schedules.values()) violation ??= judgeEnd(schedule)
  } finally {
    restore()
  }
  const all = [...schedules.values()]
  const fired = all.reduce((sum, schedule) => sum + schedule.fired.length, 0)
  return { violation, fired, dropped: all.reduce((sum, schedule) => sum + slotsUntil(schedule, schedule.nextAt).length, 0) - fired }
}

function scheduleOf(catchUp: (typeof POLICIES)[number], everyMs: number): Schedule {
  return { name: catchUp, catchUp, everyMs, nextAt: EPOCH + everyMs, fired: [] }
}

function slotsUntil({ everyMs }: Schedule, end: number): number[] {
  return Array.from({ length: Math.max(0, Math.ceil((end - EPOCH) / everyMs) - 1) }, (_, index) => EPOCH + (index + 1) * everyMs)
}

/** An orchestrator that comes back when it was killed, now and then after several slots. */
function live(world: ScheduleWorld, tables: ReturnType<typeof createScheduleTables>, name: string): void {
  const { scheduler, weather, dice } = world
  const process = scheduler.spawn(name)
  expose(process, scheduler, weather, dice, () => {
    tables.disconnect(process)
    scheduler.after(dice.chance(0.3) ? dice.between(4_000, 12_000) : dice.between(100, 4_000), () => live(world, tables, name))
  })
  scheduler.enter(process, () => start(tables, process))
}

function start(tables: ReturnType<typeof createScheduleTables>, process: Process): void {
  const store = tables.connect(process)
  const metrics = { slots: { inc() {} }, slotsLate: { observe() {} } } as unknown as Parameters<typeof fireDue>[0]['metrics']
  const deps = { store, draft, starter: { announce() {} }, metrics, lateMsMax: LATE_MS_MAX, catchUpMax: 1_000 }
  keepTime({
    clock: store.clock,
    agenda: store.agenda,
    fireDue: (since) => fireDue(deps, since),
    fireUntriggered: async () => 0,
    log: { warn() {} },
  })
}

async function draft(
  origin: { namespace: string; workflow: string; startedBy: string; labels: Record<string, string> },
  input: Json,
): Promise<RunToStart> {
  const { namespace, workflow, startedBy, labels } = origin
  return { id: newUuid(), namespace, workflow, version: 1, checksum: 'sha256:tick', startedBy, labels, input } as RunToStart
}

/** No slot twice; with `all` none is missing; of those that came while all was calm none is missing either. */
function judgeEnd(schedule: Schedule): string | undefined {
  const { name, fired, catchUp } = schedule
  if (new Set(fired).size !== fired.length) return `${name} fired a slot twice`
  if (fired.some((slot, index) => index > 0 && slot < fired[index - 1]!)) return `${name} fired its slots out of order`
  const expected = slotsUntil(schedule, EPOCH + END_MS - 5_000)
  const missing = expected.find((slot) => !fired.includes(slot) && (catchUp === 'all' || slot > EPOCH + SETTLED_MS))
  return missing === undefined ? undefined : `${name} did not fire the slot at ${missing - EPOCH} ms`
}
