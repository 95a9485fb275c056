/** Who starts runs, votes, cancels, pauses, resumes, retries, replays, forks and tells of events. What they do is in the tables when they are answered; the wake-up may be lost. */
import { ENTRY_FIELD, type Fact, keys, parseDuration, partitionOf, type StoredEvent } from '@baton/contracts'
import type { WorkerWorld } from './calls-worker.ts'
import { EPOCH } from './install-clock.ts'
import type { RunHeader } from './memory-rows.ts'
import { bodiesOf } from './model-scope.ts'
import { EVENT_TYPES } from './random-linked.ts'
import type { Definition } from './random-workflow.ts'
import type { RunHistory, StepHistory } from './run-history.ts'

export interface StartedRun {
  runId: string
  definition: Definition
  n: number
  /** How the steps of the run that it was forked from stood. */
  source?: ReadonlyMap<string, StepHistory>
}

/** What a fork of a run takes over, or undefined when it cannot be forked from there; the code under test. */
export type ForkEvents = (
  definition: Definition,
  header: RunHeader,
  events: readonly StoredEvent[],
  from: string,
) => Pick<StoredEvent, 'type' | 'path' | 'data'>[] | undefined

export interface PeopleOptions {
  /** How likely a question is answered at each look. */
  patience: number
  /** How likely an event comes at each look. */
  chatter: number
  forkEvents: ForkEvents
  /** Runs that exist or will. */
  runs: StartedRun[]
}

export interface People {
  /** Starts a run some time from now. */
  start(run: StartedRun, checksum: string, afterMs: number): void
  /** Runs that were cancelled. */
  cancelled: Set<string>
}

const EVERY_MS = 250
/** Of one run. */
const REOPENINGS_MAX = 3
/** Of one world. */
const FORKS_MAX = 2

/** Brings people into the world. */
export function invitePeople(world: WorkerWorld, { patience, chatter, forkEvents, runs }: PeopleOptions): People {
  const { scheduler, weather, dice, tables, server, checker } = world
  const cancelled = new Set<string>()

  function wake(fact: Fact): void {
    if (weather.chance('wakeLost')) return
    const text = JSON.stringify([fact])
    const put = () => server.execute('xadd', [keys.facts(partitionOf(fact.runId)), '*', ENTRY_FIELD, text], 'people')
    scheduler.after(weather.latencyMs(), put)
    if (weather.chance('doubled')) scheduler.after(dice.chance(0.6) ? dice.between(0, 40) : dice.between(0, 5_000), put)
  }

  function command(runId: string, kind: 'cancel' | 'pause' | 'resume'): void {
    world.trace(() => `${kind} ${runId.slice(24)}`)
    if (kind === 'cancel') cancelled.add(runId)
    tables.addToInbox(runId, { kind, by: 'key_ann' })
    wake({ kind: 'inbox', runId })
  }

  const reopened = new Map<string, number>()

  /** Asks for a retry, or for the replay of a step: often it cannot be. */
  function reopen(runId: string, history: RunHistory): void {
    const times = reopened.get(runId) ?? 0
    // What Postgres refused ends a run in the middle of anything: the model has no word for what it then does.
    if (times >= REOPENINGS_MAX || world.poisoned.has(runId)) return
    const paths = [...history.steps.keys()]
    const isReplay = paths.length > 0 && dice.chance(0.5)
    reopened.set(runId, times + 1)
    const by = 'key_ann'
    const fact = isReplay ? { kind: 'replay' as const, by, path: dice.pick(paths), reason: 'again' } : { kind: 'retry' as const, by }
    world.trace(() => `${fact.kind} ${runId.slice(24)} ${isReplay ? (fact as { path: string }).path : ''}`)
    tables.addToInbox(runId, fact)
    wake({ kind: 'inbox', runId })
  }

  let told = 0

  /** Tells of an event; now and then of one that was told before. */
  function tellEvent(): void {
    const isKnown = told > 0 && dice.chance(0.1)
    const id = `e${isKnown ? dice.below(told) : told++}`
    const type = dice.pick(EVENT_TYPES)
    const data: Record<string, number> = dice.chance(0.9) ? { n: dice.below(6) } : {}
    world.trace(() => `event ${id} ${type} ${JSON.stringify(data)}`)
    const { woken } = tables.acceptEvents([{ id, source: '/people', type, event: { id, source: '/people', type, data } }])
    for (const runId of woken) wake({ kind: 'inbox', runId })
  }

  let forks = 0

  function fork(source: StartedRun): void {
    const row = tables.runs.get(source.runId)
    if (!row || world.poisoned.has(source.runId)) return
    const { definition, n } = source
    const ids = [...bodiesOf(definition.steps).keys()]
    const events = row.events.map((text) => JSON.parse(text) as StoredEvent)
    // One that takes something over tells more.
    const tries = Array.from({ length: 3 }, () => dice.pick(ids)).map((id) => ({
      id,
      copied: forkEvents(definition, row.header, events, id),
    }))
    const { id: from, copied } = tries.find((tried) => tried.copied?.length) ?? tries[0]!
    if (!copied || (copied.length === 0 && dice.chance(0.8))) return
    forks++
    const runId = runIdOf(dice, 100 + forks)
    world.trace(() => `fork ${source.runId.slice(24)} from ${from}: ${runId.slice(24)}`)
    const steps = new Map([...checker.historyOf(source.runId).steps].map(([path, step]) => [path, { ...step }]))
    runs.push({ runId, definition, n, source: steps })
    const header = headerOf(runId, row.header.checksum, n, tables.now())
    const timeoutMs = definition.timeout === undefined ? undefined : parseDuration(definition.timeout)
    tables.createFork({ header, timeoutMs, from, forkedFrom: source.runId, events: copied })
    wake({ kind: 'start', runId })
  }

  function vote(): void {
    for (const approval of [...tables.approvals.values()]) {
      if (approval.status !== 'pending' || !dice.chance(patience)) continue
      const option = dice.pick(approval.options).id
      const row = tables.vote(approval.id, option, 'ann')
      if (!row) continue
      world.trace(() => `vote ${approval.runId.slice(24)} ${approval.path} ${option}`)
      wake({ kind: 'inbox', runId: approval.runId, ...(dice.chance(0.7) ? { row } : {}) })
    }
  }

  function look(): void {
    vote()
    if (dice.chance(weather.calm ? Math.max(chatter, 0.05) : chatter)) tellEvent()
    if (!weather.calm && forks < FORKS_MAX && dice.chance(0.05)) fork(dice.pick(runs))
    for (const [runId, history] of checker.histories) {
      const { terminal, paused } = history
      if (!weather.calm && dice.chance(terminal === undefined ? 0.002 : 0.04)) reopen(runId, history)
      const isOpen = terminal === undefined
      if (isOpen && (weather.calm ? paused : dice.chance(0.04))) command(runId, 'resume')
      else if (isOpen && !weather.calm && dice.chance(0.02)) command(runId, 'pause')
      else if (isOpen && !weather.calm && dice.chance(0.004)) command(runId, 'cancel')
    }
    scheduler.after(weather.calm ? 1_000 : EVERY_MS, look)
  }
  scheduler.after(EVERY_MS, look)

  return {
    cancelled,
    start({ runId, definition, n }, checksum, afterMs) {
      scheduler.after(afterMs, () => {
        const header = headerOf(runId, checksum, n, tables.now())
        tables.createRun(header, definition.timeout === undefined ? undefined : parseDuration(definition.timeout))
        checker.historyOf(runId)
        wake({ kind: 'start', runId, ...(dice.chance(0.7) ? { run: header as unknown as Record<string, never> } : {}) })
      })
    },
  }
}

function headerOf(runId: string, checksum: string, n: number, createdAt: number): RunHeader {
  const names = { namespace: 'default', workflow: 'random', startedBy: 'key_ann' }
  return { runId, ...names, version: 1, checksum, input: { n }, labels: {}, priority: 5, createdAt }
}

/** A bare UUIDv7 of the simulation. */
export function runIdOf(dice: { below(n: number): number }, order: number): string {
  const hex = (n: number, digits: number) => n.toString(16).padStart(digits, '0')
  const time = hex(EPOCH + order, 12)
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${hex(dice.below(2 ** 24), 8)}${hex(dice.below(2 ** 16), 4)}`
}
