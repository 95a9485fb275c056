/**
 * What must hold at every moment, looked at where it could break: when a commit is applied, when an entry enters or leaves a stream, when a
 * call is made. The first violation ends the simulation.
 */
import { callIdOf, type Fact, GROUPS, type HttpCall, type InboxFact, idOf, keys, partitionOf, type StoredEvent } from '@baton/contracts'
import type { MemoryRedis } from './memory-redis.ts'
import type { Commit, InboxRow, RunRow } from './memory-rows.ts'
import type { StreamEntry, StreamWatcher } from './memory-streams.ts'
import type { TableWatcher } from './memory-tables.ts'
import { createHistory, isCompensation, isInFlight, type RunHistory, takeEvent } from './run-history.ts'
import type { CallIdentity } from './shop.ts'

/** What one commit put out for others to do. */
interface CommittedWork {
  calls: CallIdentity[]
  /** Entries of facts, by stream and id, that its process had in hand. */
  via: Set<string>
}

export type Checker = ReturnType<typeof createChecker>

interface CheckerWorld {
  /** Grows with everything that happens: tells what came first. */
  steps(): number
  pgNow(): number
  redis(): MemoryRedis
  run(runId: string): RunRow | undefined
  /** Postgres has a timer of this step. */
  hasTimer(runId: string, path: string): boolean
  trace(line: () => string): void
}

/** A checker of one simulation. */
export function createChecker(world: CheckerWorld) {
  const histories = new Map<string, RunHistory>()
  const inboxAt = new Map<string, { step: number; row: InboxRow; applied: boolean; moved: boolean }>()
  const entryAt = new Map<string, number>()
  /** When the answer of a call last reached Redis, and how often Redis had lost its data by then. */
  const answered = new Map<string, { step: number; losses: number }>()
  /** The commit that recorded the end of an attempt, or the start of a run. */
  const recordedBy = new Map<string, CommittedWork>()
  const arrived = new Map<string, number>()
  /** When a process began to send a call again. */
  const sending = new Map<string, number>()
  const emitted = new Map<string, number>()
  const allowed = new Map<string, number>()
  /** Runs that have asked for a slot. */
  const asking = new Map<string, { key: string; limit: number }>()
  let failures = 0
  let pgLatest = 0
  let violation: string | undefined

  function fail(text: string): void {
    violation ??= text
    world.trace(() => `VIOLATION ${text}`)
  }

  function historyOf(runId: string): RunHistory {
    let history = histories.get(runId)
    if (!history) {
      history = createHistory(runId)
      histories.set(runId, history)
      for (const text of world.run(runId)?.events ?? []) {
        const wrong = takeEvent(history, JSON.parse(text) as StoredEvent, Math.max(pgLatest, world.pgNow()))
        if (wrong) fail(`run ${runId}: ${wrong}`)
      }
    }
    return history
  }

  function committed(commit: Commit, run: RunRow, by: string): void {
    pgLatest = Math.max(pgLatest, world.pgNow())
    const history = historyOf(commit.runId)
    const { terminal } = history
    const work: CommittedWork = { calls: [], via: entriesOf(commit.runId, by) }
    for (const event of commit.decision.events) {
      world.trace(() => `committed by ${by} ${short(commit.runId)} ${event.seq} ${event.type} ${event.path} ${event.data.attempt ?? ''}`)
      const wrong = takeEvent(history, event, pgLatest)
      if (wrong) return fail(`run ${commit.runId}: ${wrong}`)
      remember(commit.runId, event, work)
    }
    if (run.seq !== history.events.length) return fail(`run ${commit.runId}: seq ${run.seq} after ${history.events.length} events`)
    checkCommands(commit, history)
    checkSlots(commit)
    checkReopening(commit, history, terminal)
    checkTimers(history)
  }

  /** Never more runs in their slots at once than the limit lets. */
  function checkSlots({ runId, decision, beyond }: Commit): void {
    if (beyond?.slot?.act === 'ask') asking.set(runId, beyond.slot)
    if (!decision.events.some(({ type }) => type === 'run.admitted')) return
    const own = asking.get(runId)
    if (!own) return fail(`run ${runId}: admitted, and has asked for nothing`)
    const inside = [...histories.values()].filter((other) => other.admitted && !other.terminal && asking.get(other.runId)?.key === own.key)
    if (inside.length > own.limit) fail(`run ${runId}: ${inside.length} runs are in ${own.limit} slots`)
  }

  /** What waits for time is woken. */
  function checkTimers({ runId, steps, paused, terminal }: RunHistory): void {
    if (paused || terminal) return
    for (const { path, status, dueAt } of steps.values()) {
      const waits = dueAt !== undefined && (status === 'retrying' || status === 'waiting')
      if (waits && !world.hasTimer(runId, path)) return fail(`run ${runId}: ${path} is ${status} and has no timer`)
    }
  }

  /** A run is reopened when somebody asks for it, once; and a retry that is possible is not passed over. */
  function checkReopening({ runId, inboxIds, decision }: Commit, history: RunHistory, before: RunHistory['terminal']): void {
    const asked = inboxIds.map((id) => inboxAt.get(id)!.row.fact.kind).filter((kind) => kind === 'retry' || kind === 'replay')
    const done = decision.events.filter(({ type }) => type === 'run.reopened' || type === 'step.replayed')
    if (done.length > asked.length) return fail(`run ${runId}: reopened ${done.length} times, asked for ${asked.length} times`)
    const isPossible = before !== undefined && before !== 'succeeded' && ![...history.steps.keys()].some(isCompensation)
    if (isPossible && asked.includes('retry') && done.length === 0) fail(`run ${runId}: a retry was taken and had no effect`)
  }

  function entriesOf(runId: string, consumer: string): Set<string> {
    const stream = keys.facts(partitionOf(runId))
    if (!world.redis().streams.all.get(stream)?.groups.has(GROUPS.facts)) return new Set()
    const rows = world.redis().streams.pending(stream, GROUPS.facts, 0, '-', '+', 1_000)
    return new Set(rows.filter(([, holder]) => holder === consumer).map(([id]) => `${stream} ${id}`))
  }

  function remember(runId: string, { type, path, data }: StoredEvent, work: CommittedWork): void {
    const { generation, attempt } = data as { generation: number; attempt: number }
    // Calls that were not looked for during the pause are given again.
    if (type === 'run.resumed' && data.from === 'paused') allowed.set(runId, (allowed.get(runId) ?? 0) + 1)
    if (type === 'step.scheduled') work.calls.push({ runId, path, generation, attempt })
    // One that was paused before it began is started by its resume, one that asked for a slot by its admission.
    else if (type === 'run.started' && !asking.has(runId) && historyOf(runId).events.at(-2)?.type !== 'run.resumed') {
      recordedBy.set(startOf(runId), work)
    } else if (type.startsWith('step.') && type !== 'step.cancelled') recordedBy.set(callIdOf({ runId, path, generation, attempt }), work)
  }

  /** What was accepted has its effect, once. */
  function checkCommands({ runId, inboxIds, fromSeq, toSeq }: Commit, history: RunHistory): void {
    for (const id of inboxIds) {
      const known = inboxAt.get(id)!
      const { fact } = known.row
      // A row that came with its wake-up is named again by whoever comes late, and then changes nothing.
      if (known.moved && toSeq === fromSeq) continue
      // Whoever decided on a state that has the row in it has read the row before the state. A decision may come with its wake-up, and does nothing twice.
      const isTaken = known.moved && (fact.kind !== 'approval-decided' || toSeq > fromSeq)
      if (isTaken) return fail(`run ${runId}: a ${fact.kind} of the inbox was applied twice`)
      known.moved = toSeq > fromSeq
      known.applied = true
      const isReopened = history.reopenings.some(({ event }) => event.seq > fromSeq)
      const missing = isReopened ? undefined : missingEffect(history, fact)
      if (missing) return fail(`run ${runId}: ${missing}`)
    }
  }

  function checkAcknowledged(fact: Fact, entry: string, isHolder: boolean): string | undefined {
    const history = historyOf(fact.runId)
    const run = world.run(fact.runId)
    if (!run) return undefined
    if (fact.kind === 'inbox') {
      for (const { row, step, applied } of inboxAt.values()) {
        // A wake-up that brings its row answers for that one alone.
        if (fact.row !== undefined && fact.row.id !== row.id) continue
        if (!applied && row.runId === fact.runId && step < (entryAt.get(entry) ?? 0))
          return `a wake-up was acknowledged, and the ${row.fact.kind} is not applied`
      }
    }
    if (fact.kind === 'start' && run.status === 'queued' && !asking.has(fact.runId))
      return 'its start was acknowledged, and it is not started'
    if (fact.kind === 'result' && isInFlight(history, fact)) {
      const isWithdrawal = fact.outcome.status === 'failed' && fact.outcome.error.code === 'BTN_WITHDRAWN'
      const isCalledOff = history.endingSeq !== undefined && !isCompensation(fact.path)
      if (!isWithdrawal || isCalledOff) return `the result of ${fact.path} was acknowledged, and it is not recorded`
    }
    const key = keyOf(fact)
    const work = key === undefined ? undefined : recordedBy.get(key)
    // A run that is ending sends nothing again: a call that was never out is over when it was looked for in vain.
    if (!work?.via.has(entry) || !isHolder) return undefined
    const sent = work.calls.filter(({ path }) => history.endingSeq === undefined || isCompensation(path))
    const unsent = sent.find((call) => isOut(history, call) && !arrived.has(callIdOf(call)))
    return unsent && `${key} was acknowledged before the call of ${unsent.path} was out`
  }

  function isOut(history: RunHistory, call: CallIdentity): boolean {
    return isInFlight(history, call) && outside.has(`${call.runId}/${call.path.replaceAll(/\[\d+\]/g, '')}`)
  }
  /** Steps whose work is done by others, by their paths without indexes. */
  const outside = new Set<string>()

  const factsOf = (entry: StreamEntry) => JSON.parse(entry.fields[1]!) as Fact[]

  const streamWatcher: StreamWatcher = {
    added(stream, entry) {
      if (stream.startsWith('calls:')) for (const call of JSON.parse(entry.fields[1]!) as HttpCall[]) callArrived(call)
      if (!stream.startsWith('facts:')) return
      entryAt.set(`${stream} ${entry.id}`, world.steps())
      for (const fact of factsOf(entry)) {
        world.trace(() => `fact ${entry.id} ${describe(fact)}`)
        if (fact.kind === 'result') answered.set(callIdOf(fact), { step: world.steps(), losses: world.redis().losses })
      }
    },
    acknowledged: (stream, entry, holder) => leaves(stream, entry, holder),
    deleted(stream, entry, isOpen, holder) {
      if (!isOpen || stream.startsWith('events:')) return
      if (holder === undefined) fail(`entry ${entry.id} of ${stream} was deleted before anybody had it`)
      else leaves(stream, entry, holder)
    },
  }

  /** Facts are forgotten: they have to be recorded, and what follows from them has to be out. */
  function leaves(stream: string, entry: StreamEntry, holder: string): void {
    if (!stream.startsWith('facts:')) return
    for (const fact of factsOf(entry)) {
      world.trace(() => `ack ${entry.id} ${describe(fact)}`)
      const wrong = checkAcknowledged(fact, `${stream} ${entry.id}`, holder === world.redis().actor)
      if (wrong) fail(`run ${fact.runId}: ${wrong}`)
    }
  }

  function callArrived(call: HttpCall): void {
    const id = callIdOf(call)
    world.trace(() => `call ${short(id)} ${call.resent ? 'again' : ''}`)
    arrived.set(id, (arrived.get(id) ?? 0) + 1)
    const sender = `${world.redis().actor} ${id}`
    const since = sending.get(sender)
    sending.delete(sender)
    const answer = answered.get(id)
    if (since === undefined || !answer || answer.losses !== world.redis().losses || answer.step >= since) return
    if (isInFlight(historyOf(call.runId), call)) fail(`run ${call.runId}: the answer of ${call.path} was lost, its call is sent again`)
  }

  const tableWatcher: TableWatcher = {
    committed,
    inboxAdded: (row) => void inboxAt.set(row.id, { step: world.steps(), row, applied: false, moved: false }),
  }

  return {
    tableWatcher,
    streamWatcher,
    histories,
    historyOf,
    fail,
    arrived,
    inbox: inboxAt,
    get violation() {
      return violation
    },
    /** The latest time that Postgres' clock has shown; to be looked at before it jumps. */
    pgLatest() {
      pgLatest = Math.max(pgLatest, world.pgNow())
      return pgLatest
    },
    note: (line: () => string) => world.trace(line),
    /** Steps of the run whose work is done by others: http and agent steps. */
    expectOutside: (runId: string, path: string) => void outside.add(`${runId}/${path}`),
    turnArrived: (turn: CallIdentity) => void arrived.set(callIdOf(turn), (arrived.get(callIdOf(turn)) ?? 0) + 1),
    /** A batch came to nothing and is tried again: what it had sent may be sent once more. */
    batchFailed: () => void failures++,
    offered(fact: { kind: string; runId: string; lost?: string[] }, redelivered: boolean): void {
      if (redelivered) allowed.set(fact.runId, (allowed.get(fact.runId) ?? 0) + 1)
      for (const id of fact.lost ?? []) allowed.set(id, (allowed.get(id) ?? 0) + 1)
    },
    /** A runner begins to send what a batch asks for. */
    sends(calls: readonly (CallIdentity & { resent?: boolean | undefined })[], by: string): void {
      for (const call of calls) {
        const id = callIdOf(call)
        world.trace(() => `sends ${short(id)} ${call.resent ? 'again' : ''}`)
        if (call.resent) sending.set(`${by} ${id}`, world.steps())
        emitted.set(id, (emitted.get(id) ?? 0) + 1)
        const limit = 1 + failures + (allowed.get(call.runId) ?? 0) + (allowed.get(id) ?? 0)
        if (emitted.get(id)! > limit) fail(`run ${call.runId}: the command of ${call.path} was given ${emitted.get(id)} times without need`)
      }
    },
    /** A worker makes a call. */
    made(call: CallIdentity): void {
      world.trace(() => `made ${short(callIdOf(call))}`)
      if (historyOf(call.runId).ended.get(`${call.path}/${call.generation}`) === 'succeeded') {
        fail(`run ${call.runId}: the call of ${call.path} was made after its success was recorded`)
      }
    },
  }
}

/** What an accepted fact should have brought about and did not. */
function missingEffect(history: RunHistory, fact: InboxFact): string | undefined {
  if (fact.kind === 'cancel' && history.endingSeq === undefined && !history.terminal) return 'a cancel was taken and had no effect'
  if (fact.kind === 'turn' && isInFlight(history, fact)) return `the turn of ${fact.path} was taken and is not recorded`
  if (fact.kind === 'child-ended') {
    const step = history.steps.get(fact.path)
    const isWaiting = !history.terminal && step?.status === 'waiting' && step.waited === idOf('run', fact.run)
    return isWaiting ? `the end of ${fact.run} was taken, and ${fact.path} waits for it` : undefined
  }
  if (fact.kind !== 'approval-decided') return undefined
  const [outcome] = history.outcomes.get(idOf('approval', fact.approvalId)) ?? []
  return outcome === 'approval.decided' ? undefined : `people decided ${fact.path}, and the run says ${outcome ?? 'nothing'}`
}

const startOf = (runId: string) => `start ${runId}`
const keyOf = (fact: Fact) => (fact.kind === 'result' ? callIdOf(fact) : fact.kind === 'start' ? startOf(fact.runId) : undefined)
const short = (id: string) => id.slice(24)
const describe = (fact: Fact) =>
  `${fact.kind} ${fact.kind === 'result' ? `${short(callIdOf(fact))} ${fact.outcome.status}` : short(fact.runId)}`
