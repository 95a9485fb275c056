/**
 * The hot path: a batch of facts becomes one commit, then commands, then acknowledgements, in that order. Takes its store and its queues as
 * arguments, so that a simulator drives this very code. Invariants:
 * - a state in the cache is what Postgres holds, or the fence of the commit finds out; a state whose commit did not win is forgotten;
 * - nothing is sent before its commit, and no fact is acknowledged before everything that follows from it was sent;
 * - a fact that changed nothing still goes through the fence, so that a stale cache acknowledges nothing away.
 */
import type { InboxFact, Json } from '@baton/contracts'
import { isTerminal } from '@baton/contracts'
import { BlobsNeeded, type DecideContext, type Decision, decide, type EngineFact, type RunState, summaryOf } from '@baton/engine'
import { originOf } from '@baton/runtime'
import { type InboxRow, isTransient, type RunCommit } from '@baton/store'
import type { AbortFact, Advance, AdvanceStore, Delivery } from './advance.ts'
import { beyondOf } from './beyond.ts'
import { blobUsesOf } from './blob-uses.ts'
import { endUnreadable, isOver } from './end-unreadable-run.ts'
import { foldRun } from './load-run.ts'
import { loadStates, type Unreadable } from './load-states.ts'
import { nextTimerOf, outgoingOf } from './outgoing.ts'
import { PlanUnreadable } from './plans.ts'

interface Turn {
  runId: string
  deliveries: Delivery[]
  state: RunState
  fromSeq: number
  decision: Decision
  inboxIds: string[]
}

const ROUNDS_MAX = 20

/** The runs of a batch whose facts must not be acknowledged. */
export interface Unsettled {
  /** They could not be advanced. */
  stuck: Set<string>
  /**
   * Another runner has advanced them meanwhile. It may have applied the very same facts, and may die before what follows from them is out: they
   * have to come again, as redelivered ones, when it has had the time.
   */
  doubtful: Set<string>
}

/** Advances the runs of a batch. Throws when nothing is known. */
export async function advanceRuns(a: Advance, deliveries: readonly Delivery[]): Promise<Unsettled> {
  let open = groupByRun(deliveries)
  const stuck = new Set<string>()
  const doubtful = new Set<string>()
  for (let round = 0; open.size > 0 && round < ROUNDS_MAX; round++) {
    const turns = await decideAll(a, open, stuck, round > 0)
    open = await settleTurns(a, turns, stuck)
    for (const [runId, lost] of open) if (lost.some(({ redelivered }) => !redelivered)) doubtful.add(runId)
  }
  for (const runId of open.keys()) stuck.add(runId)
  return { stuck, doubtful }
}

function groupByRun(deliveries: readonly Delivery[]): Map<string, Delivery[]> {
  const runs = new Map<string, Delivery[]>()
  for (const delivery of deliveries) {
    const { runId } = delivery.fact
    const known = runs.get(runId)
    if (known) known.push(delivery)
    else runs.set(runId, [delivery])
  }
  return runs
}

/** `again`: these runs have just lost the fence, so nothing that came with their facts is taken for granted any more. */
async function decideAll(a: Advance, runs: Map<string, Delivery[]>, stuck: Set<string>, again: boolean): Promise<Turn[]> {
  const { states, unreadable } = await loadStates(a, runs, again)
  // After the states: a row that another runner has applied meanwhile then fails the fence, and is not applied twice.
  const inbox = await loadInbox(a, runs, again)
  const turns: Turn[] = []
  for (const [runId, deliveries] of await markTaken(runs)) {
    const state = states.get(runId)
    const flaw = unreadable.get(runId)
    if (!state && !flaw) continue // no such run: nothing to advance, the fact goes
    const rows = inbox.get(runId) ?? []
    try {
      turns.push(state ? await decideRun(a, state, deliveries, rows) : giveUp(a, runId, deliveries, rows, flaw!))
    } catch (error) {
      if (isTransient(error)) {
        // Postgres is away: not the fault of this run. What was decided of the others is not committed either.
        for (const id of runs.keys()) a.cache.delete(id)
        throw error
      }
      a.cache.delete(runId)
      stuck.add(runId)
      a.log.error({ runId, err: error }, 'run could not be decided')
    }
  }
  return turns
}

/**
 * This process, or its connection, may have stood still since Redis delivered a fact. If another runner has taken it over, applied it and died, the
 * state may have it in it by now, and what follows from it may not be out. Asked after the states were read; what happens later the fence finds out.
 */
async function markTaken(runs: Map<string, Delivery[]>): Promise<Map<string, Delivery[]>> {
  const asked: [Delivery, Promise<boolean>][] = []
  for (const deliveries of runs.values()) {
    for (const delivery of deliveries) {
      const answer = !delivery.redelivered && delivery.wasTaken?.() // nearly always false at once
      if (answer) asked.push([delivery, Promise.resolve(answer)])
    }
  }
  if (asked.length === 0) return runs
  const taken = new Set<Delivery>()
  await Promise.all(asked.map(async ([delivery, answer]) => (await answer) && taken.add(delivery)))
  const mark = (delivery: Delivery) => (taken.has(delivery) ? { ...delivery, redelivered: true } : delivery)
  return new Map([...runs].map(([runId, deliveries]) => [runId, deliveries.map(mark)]))
}

/** A run that lost (perhaps an approval that it closes was decided), one that is given up and one whose time is up look whether something waits for them. */
async function loadInbox(a: Advance, runs: Map<string, Delivery[]>, again: boolean): Promise<Map<string, InboxRow[]>> {
  const byRun = new Map<string, InboxRow[]>()
  const ids: string[] = []
  for (const [runId, deliveries] of runs) {
    const row = again ? undefined : onlyRow(deliveries)
    if (row) byRun.set(runId, [{ ...row, runId }])
    else if (again || deliveries.some(readsInbox)) ids.push(runId)
  }
  if (ids.length === 0) return byRun
  for (const row of await a.store.loadInbox(ids)) {
    const rows = byRun.get(row.runId)
    if (rows) rows.push(row)
    else byRun.set(row.runId, [row])
  }
  return byRun
}

/** A step whose time is up may have been told an event before, by a wake-up that is lost. */
function readsInbox({ fact }: Delivery): boolean {
  return fact.kind === 'inbox' || fact.kind === 'abort' || (fact.kind === 'timers' && fact.facts.some(({ timer }) => timer === 'timeout'))
}

/**
 * The row that came with a wake-up, when nothing else did. Only a decision is taken at its word: it ends one generation of one step, so that it
 * does no harm twice; what was accepted before it and has not been applied waits for its own wake-up.
 */
function onlyRow(deliveries: readonly Delivery[]): { id: string; fact: InboxFact } | undefined {
  const [first] = deliveries
  if (deliveries.length > 1 || first!.redelivered || first!.fact.kind !== 'inbox') return undefined
  return first!.fact.row?.fact.kind === 'approval-decided' ? first!.fact.row : undefined
}

async function decideRun(a: Advance, first: RunState, deliveries: Delivery[], waiting: readonly InboxRow[]): Promise<Turn> {
  const { runId, namespace } = first.header
  let rows = waiting
  const { usesVars, children } = first.plan
  const vars = usesVars ? await a.store.vars(namespace) : {}
  const workflows = children.length > 0 ? await a.store.workflows(namespace, children) : undefined
  const blobs = new Map<string, Json>()
  let state = first
  for (;;) {
    const fromSeq = state.seq
    const ctx: DecideContext = {
      now: a.now(),
      random: a.random,
      newUuid: a.newUuid,
      vars,
      blobs,
      ...(workflows ? { workflows } : {}),
      ...a.limits,
    }
    try {
      const decision = decide(state, factsOf(deliveries, rows), ctx)
      return { runId, deliveries, state, fromSeq, decision, inboxIds: rows.map((row) => row.id) }
    } catch (error) {
      if (!(error instanceof BlobsNeeded)) throw error
      a.cache.delete(runId)
      for (const [id, value] of await a.store.getBlobs(namespace, error.blobs)) blobs.set(id, value)
      for (const id of error.blobs) if (!blobs.has(id)) throw new Error(`payload ${id} is gone`, { cause: error })
      const loaded = (await a.store.loadRuns([runId])).get(runId)
      if (!loaded) throw new Error('the run is gone', { cause: error })
      state = await foldRun(a.store, first.plan, loaded)
      if (rows.length > 0) rows = await a.store.loadInbox([runId])
    }
  }
}

/** A run without a state can only be ended, and only when that was decided; until then it is stuck. */
function giveUp(a: Advance, runId: string, deliveries: Delivery[], rows: readonly InboxRow[], { loaded, error }: Unreadable): Turn {
  const abort = deliveries.find(({ fact }) => fact.kind === 'abort')?.fact as AbortFact | undefined
  if (!loaded || !(abort || isOver(loaded))) throw error
  const reason =
    error instanceof PlanUnreadable || !abort ? { code: 'BTN_DEFINITION_UNREADABLE', message: (error as Error).message } : abort.error
  const inbox = rows.map((row) => row.fact as InboxFact)
  const ended = endUnreadable(loaded, { error: reason, now: a.now(), inbox })
  return { runId, deliveries, ...ended, fromSeq: loaded.seq, inboxIds: rows.map((row) => row.id) }
}

const isOutcome = ({ kind }: EngineFact) => kind === 'approval-decided' || kind === 'task-ended'

function factsOf(deliveries: readonly Delivery[], rows: readonly InboxRow[]): EngineFact[] {
  const facts: EngineFact[] = rows.map((row) => row.fact as InboxFact)
  // Of the rest only what people and workers have ended counts: those approvals and tasks cannot be withdrawn any more.
  for (const { fact } of deliveries) {
    if (fact.kind === 'abort') return [{ kind: 'abort', error: fact.error }, ...facts.filter(isOutcome)]
  }
  for (const { fact, redelivered } of deliveries) {
    if (fact.kind === 'result') facts.push({ ...fact, redelivered })
    else if (fact.kind === 'start') facts.push({ kind: 'start' })
    else if (fact.kind === 'timers') facts.push(...fact.facts)
    else if (fact.kind === 'sweep') facts.push({ kind: 'start' }, { kind: 'resend', calls: fact.lost })
    if (redelivered && fact.kind !== 'result') facts.push({ kind: 'resend', calls: 'all' })
  }
  return facts
}

/** Commits the turns as one, sends what follows, and returns those that lost the race. Those that cannot be committed are stuck. */
async function settleTurns(a: Advance, turns: Turn[], stuck: Set<string>): Promise<Map<string, Delivery[]>> {
  const again = new Map<string, Delivery[]>()
  if (turns.length === 0) return again
  let outcome: Awaited<ReturnType<AdvanceStore['commit']>>
  let askedAt: number
  try {
    await putBlobs(a, turns)
    askedAt = performance.now() // not by a clock that may jump
    outcome = await a.store.commit(turns.map(commitOf))
  } catch (error) {
    for (const turn of turns) a.cache.delete(turn.runId)
    throw error
  }
  const won: Turn[] = []
  for (const turn of turns) {
    const refusal = outcome.refused.get(turn.runId)
    const failure = outcome.failed?.get(turn.runId)
    if (outcome.won.has(turn.runId)) won.push(turn)
    else if (failure) {
      a.cache.delete(turn.runId)
      stuck.add(turn.runId)
      a.log.error({ runId: turn.runId, ...originOf(turn.state.header), err: failure }, 'run could not be committed')
    } else {
      a.cache.delete(turn.runId)
      again.set(turn.runId, refusal ? [...turn.deliveries, abortOf(turn.runId, refusal)] : turn.deliveries)
      if (refusal) a.log.error({ runId: turn.runId, ...originOf(turn.state.header), err: refusal }, 'postgres refused a value of the run')
    }
  }
  for (const { runId, state, fromSeq, decision } of won) {
    if (isTerminal(state.status)) a.cache.delete(runId)
    else a.cache.set(runId, state, decision.events)
    a.committed?.(state, fromSeq, decision.events)
  }
  const outgoing = outgoingOf(won, outcome.at, performance.now() - askedAt, outcome.woken)
  a.observe?.({
    facts: turns.reduce((sum, turn) => sum + turn.deliveries.length, 0),
    runs: turns.length,
    conflicts: again.size,
    events: outgoing.events.length,
    nextTimerAt: nextTimerOf(won),
  })
  await a.send(outgoing)
  return again
}

function abortOf(runId: string, refusal: Error): Delivery {
  return { fact: { kind: 'abort', runId, error: { code: 'BTN_EVENT_REFUSED', message: refusal.message } }, redelivered: false }
}

async function putBlobs(a: Advance, turns: readonly Turn[]): Promise<void> {
  for (const { state, decision } of turns) {
    if (decision.blobs.size > 0) await a.store.putBlobs(state.header.namespace, decision.blobs)
  }
  const uses = turns.flatMap(({ state, fromSeq, decision }) => blobUsesOf(state.header, fromSeq, decision.events))
  if (uses.length > 0) await a.store.noteBlobUses?.(uses)
}

function commitOf(turn: Turn): RunCommit {
  const { runId, state, fromSeq, decision, inboxIds } = turn
  const beyond = beyondOf(state.header, decision)
  return {
    runId,
    namespace: state.header.namespace,
    workflow: state.header.workflow,
    fromSeq,
    toSeq: state.seq,
    summary: state.seq > fromSeq ? summaryOf(state) : null,
    decision,
    inboxIds,
    ...(beyond ? { beyond } : {}),
  }
}
