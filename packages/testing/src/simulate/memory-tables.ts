/**
 * The tables of Postgres that runs live in, in memory, and the statements on them. A statement is applied whole at one moment, as under the
 * locks that the real ones take; what the runner's statements promise is written down here once more, in plain code. `faults` break one
 * promise each: the simulator has to notice.
 */
import { type InboxFact, idOf, isTerminal, partitionOf, type StoredEvent } from '@baton/contracts'
import { type BeyondFault, createBeyond } from './memory-beyond.ts'
import type { ApprovalRow, Commit, Cut, InboxRow, NewFork, RunHeader, RunRow, TimerRow } from './memory-rows.ts'

/** Promises of the statements that a mutant breaks. */
export type TableFault = BeyondFault | 'fence skipped' | 'inbox deleted before the commit' | 'timers kept' | 'approvals closed unasked'

/** Told of what was committed, after it was. */
export interface TableWatcher {
  /** `by` is the process whose statement it was. */
  committed?(commit: Commit, run: RunRow, by: string): void
  inboxAdded?(row: InboxRow): void
  /** A run was created, with all events that it begins with. */
  created?(header: RunHeader): void
}

export interface TableOptions {
  watcher: TableWatcher
  faults: ReadonlySet<TableFault>
  /** Earlier events that a waiter is told of at a time. */
  page: number
  later(act: () => void): void
}

/** Applied before what people command. */
const OUTCOMES: ReadonlySet<string> = new Set(['approval-decided', 'turn', 'event', 'child-ended'])

export type Tables = ReturnType<typeof createTables>

/** Empty tables; `now` is the clock of Postgres in ms since 1970. */
export function createTables(now: () => number, { watcher, faults, page, later }: TableOptions) {
  const runs = new Map<string, RunRow>()
  const inbox = new Map<string, InboxRow>()
  const timers = new Map<string, TimerRow>()
  const approvals = new Map<string, ApprovalRow>()
  const blobs = new Map<string, string>()
  const snapshots = new Map<string, Map<number, string>>()
  let inboxIds = 0
  const beyond = createBeyond({ now, header: (runId) => runs.get(runId)!.header, addToInbox, createRun, page, faults, later })

  function addToInbox(runId: string, fact: InboxFact): InboxRow {
    const row = { id: String(++inboxIds), runId, fact, createdAt: now() }
    inbox.set(row.id, row)
    watcher.inboxAdded?.(row)
    return row
  }

  function createRun(
    header: RunHeader,
    timeoutMs: number | undefined,
    more: readonly Pick<StoredEvent, 'type' | 'path' | 'data'>[] = [],
  ): void {
    const { runId, createdAt, workflow, version, labels, priority, startedBy, parent } = header
    const above = parent ? { parent: { run: idOf('run', parent.runId), step: parent.path } } : {}
    const created = { type: 'run.created' as const, path: '', data: { workflow, version, labels, priority, startedBy, ...above } }
    const events = [created, ...more].map(({ type, path, data }, index) => ({ runId, seq: index + 1, type, path, at: createdAt, data }))
    const run = { header, seq: events.length, status: 'queued' as const, ending: null, output: null, error: null, updatedAt: now() }
    runs.set(runId, { ...run, events: events.map((event) => JSON.stringify(event)) })
    watcher.created?.(header)
    if (timeoutMs === undefined) return
    const setting = { path: '', timer: 'run', generation: 0, attempt: 1, dueAt: createdAt + timeoutMs }
    timers.set(timerKey(runId, setting), { ...setting, runId })
  }

  const timerKey = (runId: string, { path, timer }: { path: string; timer: string }) => `${runId} ${path} ${timer}`

  function holds({ runId, fromSeq, decision }: Commit): boolean {
    const run = runs.get(runId)
    if (!run) return false
    const isFenced = run.seq === fromSeq || faults.has('fence skipped')
    const isPending = ({ id }: { id: string }) => approvals.get(id)?.status === 'pending'
    return isFenced && (faults.has('approvals closed unasked') || decision.approvalsClosed.every(isPending))
  }

  function apply(commit: Commit, by: string): void {
    const { runId, toSeq, fromSeq, summary, decision } = commit
    const run = runs.get(runId)!
    for (const event of decision.events) run.events[event.seq - 1] = JSON.stringify(event)
    if (toSeq > fromSeq && summary) {
      const { status, ending, output, error } = summary
      Object.assign(run, { seq: toSeq, status, ending, output, error, updatedAt: now() })
    }
    for (const cleared of faults.has('timers kept') ? [] : decision.timersCleared) timers.delete(timerKey(runId, cleared))
    for (const setting of decision.timersSet) timers.set(timerKey(runId, setting), { ...setting, runId })
    for (const { id, path, generation, options, deadline } of decision.approvalsOpened) {
      approvals.set(id, { id, runId, path, generation, options, deadline, status: 'pending', decision: null })
    }
    for (const { id, status, decision: outcome } of decision.approvalsClosed)
      Object.assign(approvals.get(id)!, { status, decision: outcome })
    removeInbox(commit)
    watcher.committed?.(commit, run, by)
  }

  function removeInbox({ inboxIds: ids }: Commit): void {
    for (const id of ids) inbox.delete(id)
  }

  const isOf = ({ runId }: TimerRow, partitions: readonly number[]) => partitions.includes(partitionOf(runId))
  const isBefore = (cuts: readonly Cut[], runId: string, at: number) =>
    cuts.some(({ partition, before }) => partition === partitionOf(runId) && at < before)

  function runsWhere(isWanted: (run: RunRow) => boolean, afterId: string | null, limit: number): { id: string; seq: number }[] {
    const found = [...runs.values()].filter((run) => isWanted(run) && run.header.runId > (afterId ?? ''))
    const rows = found.map(({ header, seq }) => ({ id: header.runId, seq }))
    return rows.sort((a, b) => (a.id < b.id ? -1 : 1)).slice(0, limit)
  }

  return {
    runs,
    inbox,
    timers,
    approvals,
    blobs,
    now,
    events: beyond.events,
    waiters: beyond.waiters,
    slots: beyond.slots,
    createRun: (header: RunHeader, timeoutMs: number | undefined) => createRun(header, timeoutMs),
    createFork({ header, timeoutMs, from, forkedFrom, events }: NewFork): void {
      const data = { forkedFrom: idOf('run', forkedFrom), from, by: header.startedBy }
      createRun(header, timeoutMs, [{ type: 'run.forked', path: '', data }, ...events])
    },
    acceptEvents: (events: Parameters<typeof beyond.accept>[0]) => beyond.accept(events),
    /** The fence, and everything of those that pass it. */
    commit(batch: readonly Commit[], by: string): { won: Set<string>; at: number; woken: string[] } {
      const won = new Set<string>()
      for (const commit of batch) {
        if (faults.has('inbox deleted before the commit')) removeInbox(commit)
        if (!holds(commit)) continue
        apply(commit, by)
        won.add(commit.runId)
      }
      return { won, at: now(), woken: beyond.write(batch.filter(({ runId }) => won.has(runId))) }
    },
    addToInbox(runId: string, fact: InboxFact): { id: string; fact: InboxFact } {
      return { id: addToInbox(runId, fact).id, fact }
    },
    /** A vote that decides: its row of the inbox, or undefined when the approval takes none any more. */
    vote(id: string, option: string, voter: string): { id: string; fact: InboxFact } | undefined {
      const approval = approvals.get(id)
      if (approval?.status !== 'pending' || (approval.deadline !== null && approval.deadline <= now())) return undefined
      approval.status = 'decided'
      approval.decision = option
      const { runId, path, generation } = approval
      const rejects = approval.options.find((candidate) => candidate.id === option)?.rejects === true
      const said = { decision: option, rejects, comment: null, data: null, decidedBy: [voter], decidedAt: now() }
      return this.addToInbox(runId, { kind: 'approval-decided', path, generation, approvalId: id, ...said })
    },
    loadHeaders: (ids: readonly string[]) => ids.flatMap((id) => runs.get(id) ?? []).map(({ header, seq }) => ({ header, seq })),
    loadEvents: (id: string, after: number, seq: number) =>
      runs
        .get(id)!
        .events.slice(after, seq)
        .map((text) => JSON.parse(text) as StoredEvent),
    /** Kept in place of those before it; of a run that has ended, none. */
    putSnapshot(runId: string, seq: number, text: string): void {
      const kept = [...(snapshots.get(runId) ?? [])].filter(([older]) => older > seq)
      if (!isTerminal(runs.get(runId)!.status)) snapshots.set(runId, new Map([...kept, [seq, text]]))
    },
    removeSnapshots: (runId: string) => void snapshots.delete(runId),
    /** JSON of the newest snapshot up to that seq. */
    snapshotOf(runId: string, seq: number): string | undefined {
      const held = snapshots.get(runId)
      const newest = Math.max(...[...(held?.keys() ?? [])].filter((at) => at <= seq))
      return held?.get(newest)
    },
    loadInbox(ids: readonly string[]): Pick<InboxRow, 'id' | 'runId' | 'fact'>[] {
      const rows = [...inbox.values()].filter(({ runId }) => ids.includes(runId)).map(({ id, runId, fact }) => ({ id, runId, fact }))
      const isOutcome = ({ fact }: { fact: InboxFact }) => OUTCOMES.has(fact.kind)
      return [...rows.filter(isOutcome), ...rows.filter((row) => !isOutcome(row))]
    },
    due: (partitions: readonly number[], limit: number) =>
      [...timers.values()]
        .filter((row) => row.dueAt <= now() && isOf(row, partitions))
        .sort((a, b) => a.dueAt - b.dueAt)
        .slice(0, limit)
        .map((row) => ({ ...row, lateMs: now() - row.dueAt })),
    /** The row of that name, of whatever attempt. */
    timerOf: (row: TimerRow) => timers.get(timerKey(row.runId, row)),
    nextInMs(partitions: readonly number[]): number | null {
      const dues = [...timers.values()].filter((row) => isOf(row, partitions)).map(({ dueAt }) => dueAt)
      return dues.length === 0 ? null : Math.min(...dues) - now()
    },
    stale(cuts: readonly Cut[], afterId: string | null, limit: number): { id: string; runId: string }[] {
      const isStale = ({ id, runId, createdAt }: InboxRow) => Number(id) > Number(afterId ?? 0) && isBefore(cuts, runId, createdAt)
      return [...inbox.values()]
        .filter(isStale)
        .slice(0, limit)
        .map(({ id, runId }) => ({ id, runId }))
    },
    /** Those that have asked for a slot are told by their inbox. */
    unstarted(cuts: readonly Cut[], afterId: string | null, limit: number): string[] {
      const isUnstarted = ({ status, updatedAt, header: { runId } }: RunRow) =>
        status === 'queued' && isBefore(cuts, runId, updatedAt) && !beyond.slots.has(runId)
      return runsWhere(isUnstarted, afterId, limit).map(({ id }) => id)
    },
    active(partitions: readonly number[], statuses: readonly string[], before: number, afterId: string | null, limit: number) {
      const cuts = partitions.map((partition) => ({ partition, before }))
      return runsWhere(
        ({ status, updatedAt, header }) => statuses.includes(status) && isBefore(cuts, header.runId, updatedAt),
        afterId,
        limit,
      )
    },
    /** The "still wanted?" query. */
    isWanted({ runId, path, generation, attempt }: { runId: string; path: string; generation: number; attempt: number }): boolean {
      const run = runs.get(runId)
      if (!run || isTerminal(run.status) || (run.ending !== null && !path.endsWith('.compensate'))) return false
      const mine = run.events.map((text) => JSON.parse(text) as StoredEvent).filter((e) => e.path === path && e.type.startsWith('step.'))
      const last = mine.at(-1)
      return last?.type === 'step.scheduled' && last.data.generation === generation && last.data.attempt === attempt
    },
  }
}
