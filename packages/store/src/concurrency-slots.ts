/**
 * Slots of concurrency keys. A run that asks is put into the queue of its key; as many as the limit lets hold a slot, higher priorities first,
 * then older runs. A run holds its slot until it has ended. The caller holds the lock of the key (lockBeyond), so nobody else changes its queue.
 */
import type { InboxFact } from '@baton/contracts'
import type { SlotWish } from '@baton/engine'
import type { Db } from './connect.ts'
import { addAllToInbox } from './inbox.ts'

interface Queue {
  namespace: string
  workflow: string
  key: string
}

/** Does what the run wishes, and lets others go on. Returns the ids of runs that have something new in their inbox. */
export async function changeSlots(
  tx: Db,
  run: { runId: string; namespace: string; workflow: string },
  wish: SlotWish & { priority: number },
): Promise<string[]> {
  const { runId, namespace, workflow } = run
  if (wish.act === 'leave') {
    const [queue] = await tx<Queue[]>`delete from concurrency_slots where run_id = ${runId} returning namespace, workflow, key`
    return queue ? admit(tx, queue) : []
  }
  const queue = { namespace, workflow, key: wish.key }
  await tx`
    insert into concurrency_slots (run_id, namespace, workflow, key, priority, slots)
    values (${runId}, ${namespace}, ${workflow}, ${wish.key}, ${wish.priority}, ${wish.limit}) on conflict (run_id) do nothing`
  const admitted = await admit(tx, queue)
  const [own] = await tx<{ held: boolean }[]>`select held from concurrency_slots where run_id = ${runId}`
  if (own!.held || wish.onConflict === 'queue') return admitted
  return [...admitted, ...(wish.onConflict === 'reject' ? await refuse(tx, queue, runId) : await cancelOthers(tx, queue, runId))]
}

/** Gives free slots to those that have waited, and tells them. */
async function admit(tx: Db, queue: Queue): Promise<string[]> {
  const { namespace, workflow, key } = queue
  const rows = await tx<{ runId: string }[]>`
    with q as materialized (
      select run_id, slots, row_number() over (order by priority desc, run_id) as place from concurrency_slots
       where namespace = ${namespace} and workflow = ${workflow} and key = ${key} and not held
       order by priority desc, run_id limit 1000
    ),
    h as materialized (
      select count(*) as held from concurrency_slots where namespace = ${namespace} and workflow = ${workflow} and key = ${key} and held
    )
    update concurrency_slots s set held = true from q, h where s.run_id = q.run_id and h.held + q.place <= q.slots
    returning s.run_id`
  const inOrder = rows.map(({ runId }) => ({ runId })).sort((a, b) => (a.runId < b.runId ? -1 : 1))
  return tell(tx, queue, inOrder, { kind: 'slot', outcome: 'admitted', key })
}

async function refuse(tx: Db, queue: Queue, runId: string): Promise<string[]> {
  await tx`delete from concurrency_slots where run_id = ${runId}`
  return tell(tx, queue, [{ runId }], { kind: 'slot', outcome: 'refused', key: queue.key })
}

/** So many of the others, the oldest first, that there will be room for this run. */
async function cancelOthers(tx: Db, queue: Queue, runId: string): Promise<string[]> {
  const { namespace, workflow, key } = queue
  const rows = await tx<{ runId: string }[]>`
    with all_of as materialized (
      select run_id, count(*) over () as n from concurrency_slots where namespace = ${namespace} and workflow = ${workflow} and key = ${key}
    )
    select a.run_id from all_of a, concurrency_slots own
     where own.run_id = ${runId} and a.run_id <> own.run_id
     order by a.run_id limit (select greatest(max(a.n) - max(own.slots), 0) from all_of a, concurrency_slots own where own.run_id = ${runId})`
  return tell(tx, queue, rows, { kind: 'cancel', by: `concurrency key ${key}, run_${runId}` })
}

function tell(tx: Db, queue: Queue, rows: readonly { runId: string }[], fact: InboxFact): Promise<string[]> {
  return addAllToInbox(
    tx,
    rows.map(({ runId }) => ({ namespace: queue.namespace, runId, fact })),
  )
}
