/**
 * What a commit changes outside its runs, in memory: waiters and events, child runs, facts for others, slots of concurrency keys. Applied in the
 * moment of the commit, as packages/store does it in its transaction, and in the same order. `faults` break one promise each.
 */
import type { InboxFact, Json } from '@baton/contracts'
import type { InboxRow, RunHeader } from './memory-rows.ts'

export interface EventRow {
  seq: number
  id: string
  source: string
  type: string
  event: Json
  acceptedAt: number
}

export interface WaiterRow {
  runId: string
  path: string
  generation: number
  type: string
}

export interface SlotRow {
  runId: string
  workflow: string
  key: string
  priority: number
  /** How many may be held at once, as far as this run goes. */
  slots: number
  held: boolean
}

type NewEvent = Pick<EventRow, 'id' | 'source' | 'type' | 'event'>
type SlotWish = { act: 'ask'; key: string; limit: number; onConflict: 'queue' | 'reject' | 'cancel-running' } | { act: 'leave' }

/** As packages/store has it. */
export interface Beyond {
  waitersSet: readonly { path: string; generation: number; type: string; after: number }[]
  waitersCleared: readonly string[]
  emitted: readonly NewEvent[]
  children: readonly (Omit<RunHeader, 'runId' | 'labels' | 'createdAt'> & { id: string; timeoutMs?: number })[]
  told: readonly { runId: string; fact: InboxFact }[]
  slot?: SlotWish & { priority: number }
}

export interface Reaching {
  runId: string
  workflow: string
  beyond?: Beyond
}

/** Promises that a mutant breaks. */
export type BeyondFault = 'waiter set after the commit' | 'slot given while all are held'

export interface BeyondDeps {
  now(): number
  header(runId: string): RunHeader
  addToInbox(runId: string, fact: InboxFact): InboxRow
  createRun(header: RunHeader, timeoutMs: number | undefined): void
  /** Earlier events that a waiter is told of at a time. */
  page: number
  faults: { has(fault: BeyondFault): boolean }
  /** Does it some time later. */
  later(act: () => void): void
}

/** Empty tables of what reaches beyond a run. */
export function createBeyond(deps: BeyondDeps) {
  const { now, faults, page } = deps
  const events: EventRow[] = []
  const known = new Set<string>()
  const waiters = new Map<string, WaiterRow>()
  const slots = new Map<string, SlotRow>()
  let seqs = 0

  const tell = (runId: string, fact: InboxFact) => deps.addToInbox(runId, fact).runId
  const byRun = <T extends { runId: string }>(a: T, b: T) => (a.runId === b.runId ? 0 : a.runId < b.runId ? -1 : 1)
  const eventFact = ({ path, generation }: WaiterRow, { seq, event }: EventRow): InboxFact & { kind: 'event' } => {
    return { kind: 'event', path, generation, seq, event }
  }

  /** Waiters, each with the first page of what was accepted since its run was created. */
  function setWaiters(rows: readonly (WaiterRow & { after: number })[]): string[] {
    for (const { after: _, ...row } of rows) {
      const set = () => void waiters.set(`${row.runId} ${row.path}`, row)
      if (faults.has('waiter set after the commit')) deps.later(set)
      else set()
    }
    const told = rows.flatMap((row) => {
      const { createdAt } = deps.header(row.runId)
      const earlier = events.filter(({ type, seq, acceptedAt }) => type === row.type && seq > row.after && acceptedAt >= createdAt)
      return earlier.slice(0, page).map((event, index) => ({ row, event, more: index === page - 1 }))
    })
    const inOrder = told.sort((a, b) => a.event.seq - b.event.seq || byRun(a.row, b.row) || (a.row.path < b.row.path ? -1 : 1))
    return inOrder.map(({ row, event, more }) => tell(row.runId, { ...eventFact(row, event), ...(more ? { more } : {}) }))
  }

  /** As acceptEvents does: each source and id once, in the order in which they come; numbers are given to all of them. */
  function accept(given: readonly NewEvent[]): { accepted: number; woken: string[] } {
    const fresh: EventRow[] = []
    for (const { id, source, type, event } of given) {
      const row = { seq: ++seqs, id, source, type, event, acceptedAt: now() }
      if (known.has(`${source} ${id}`)) continue
      known.add(`${source} ${id}`)
      events.push(row)
      fresh.push(row)
    }
    const woken = fresh.flatMap((event) => {
      const waiting = [...waiters.values()].filter(({ type }) => type === event.type)
      const key = ({ runId, path }: WaiterRow) => `${runId} ${path}`
      const inOrder = waiting.sort((a, b) => (key(a) < key(b) ? -1 : 1))
      return inOrder.map((waiter) => tell(waiter.runId, eventFact(waiter, event)))
    })
    return { accepted: fresh.length, woken: [...new Set(woken)] }
  }

  const queueOf = ({ workflow, key }: Pick<SlotRow, 'workflow' | 'key'>) =>
    [...slots.values()].filter((row) => row.workflow === workflow && row.key === key).sort(byRun)

  function admit(queue: Pick<SlotRow, 'workflow' | 'key'>): string[] {
    const rows = queueOf(queue)
    const held = faults.has('slot given while all are held') ? 0 : rows.filter((row) => row.held).length
    const waiting = rows.filter((row) => !row.held).sort((a, b) => b.priority - a.priority)
    const admitted = waiting.filter((row, index) => held + index + 1 <= row.slots).sort(byRun)
    for (const row of admitted) row.held = true
    return admitted.map(({ runId }) => tell(runId, { kind: 'slot', outcome: 'admitted', key: queue.key }))
  }

  function changeSlots({ runId, workflow }: Reaching, wish: NonNullable<Beyond['slot']>): string[] {
    if (wish.act === 'leave') {
      const left = slots.get(runId)
      slots.delete(runId)
      return left ? admit(left) : []
    }
    const { key, priority, limit, onConflict } = wish
    if (!slots.has(runId)) slots.set(runId, { runId, workflow, key, priority, slots: limit, held: false })
    const admitted = admit({ workflow, key })
    const own = slots.get(runId)!
    if (own.held || onConflict === 'queue') return admitted
    if (onConflict === 'reject') {
      slots.delete(runId)
      return [...admitted, tell(runId, { kind: 'slot', outcome: 'refused', key })]
    }
    const rows = queueOf({ workflow, key })
    const others = rows.filter((row) => row !== own).slice(0, Math.max(0, rows.length - own.slots))
    return [...admitted, ...others.map((row) => tell(row.runId, { kind: 'cancel', by: `concurrency key ${key}, run_${runId}` }))]
  }

  return {
    events,
    waiters,
    slots,
    accept,
    /** All that these runs change; gives the ids of those that have something new in their inbox. */
    write(won: readonly Reaching[]): string[] {
      const reaching = won.flatMap(({ beyond, ...run }) => (beyond ? [{ ...run, beyond }] : []))
      for (const { runId, beyond } of reaching) for (const path of beyond.waitersCleared) waiters.delete(`${runId} ${path}`)
      const set = reaching.flatMap(({ runId, beyond }) => beyond.waitersSet.map((waiter) => ({ ...waiter, runId })))
      const woken = setWaiters(set)
      woken.push(...accept(reaching.flatMap(({ beyond }) => beyond.emitted)).woken)
      for (const { id, timeoutMs, ...born } of reaching.flatMap(({ beyond }) => beyond.children)) {
        deps.createRun({ ...born, runId: id, labels: {}, createdAt: now() }, timeoutMs)
      }
      for (const { beyond } of reaching) for (const { runId, fact } of beyond.told) woken.push(tell(runId, fact))
      for (const { beyond, ...run } of reaching) if (beyond.slot) woken.push(...changeSlots(run, beyond.slot))
      return [...new Set(woken)]
    },
  }
}
