/**
 * Ended runs as JSON Lines, before they are removed: one file for each day (UTC) on which runs go. Each run is several lines, the last of which
 * (`end`) says how many there were; one that has none was cut off by a crash, is still in Postgres, and comes again. So readers take the last
 * complete copy of a run.
 */
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { cloudEventOf, idOf } from '@baton/contracts'
import { type Db, getBlobTexts, listApprovalsOf, listBlobUses, listEvents, type RunRow } from '@baton/store'

const EVENTS_AT_ONCE = 500
const NEWLINE = 0x0a

/** Appends these runs, and returns when the disk has them; `day` is YYYY-MM-DD. Gives the bytes. Throws what the disk says. */
export async function exportRuns(db: Db, folder: string, day: string, runs: readonly RunRow[]): Promise<number> {
  await mkdir(folder, { recursive: true })
  const file = await open(join(folder, `runs-${day}.jsonl`), 'a+')
  let bytes = 0
  try {
    const write = async (text: string) => {
      await file.appendFile(text)
      bytes += Buffer.byteLength(text)
    }
    const { size } = await file.stat()
    // What a crash has cut off ends here.
    if (size > 0 && (await file.read(Buffer.alloc(1), 0, 1, size - 1)).buffer[0] !== NEWLINE) await write('\n')
    for (const run of runs) await writeRun(db, run, write)
    await file.sync()
  } finally {
    await file.close()
  }
  await syncFolder(folder)
  return bytes
}

/** The name of a new file is on the disk when its folder is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function writeRun(db: Db, row: RunRow, write: (text: string) => Promise<void>): Promise<void> {
  const run = idOf('run', row.id)
  let lines = 0
  const put = async (...items: object[]) => {
    lines += items.length
    await write(items.map((item) => `${JSON.stringify(item)}\n`).join(''))
  }
  await put({ kind: 'run', run, row: shownOf(row) })
  for (const sha256 of await listBlobUses(db, row.id)) {
    const text = (await getBlobTexts(db, row.namespace, [sha256])).get(sha256)
    if (text === undefined) continue
    lines += 1
    await write(`{"kind":"payload","run":${JSON.stringify(run)},"id":${JSON.stringify(sha256)},"value":${text}}\n`)
  }
  for (let after = 0; ; ) {
    const events = await listEvents(db, row.id, after, EVENTS_AT_ONCE)
    if (events.length > 0) await put(...events.map((event) => ({ kind: 'event', run, event: cloudEventOf(event) })))
    if (events.length < EVENTS_AT_ONCE) break
    after = events.at(-1)!.seq
  }
  for (const { id, runId: _, ...approval } of await listApprovalsOf(db, row.id)) {
    await put({ kind: 'approval', run, approval: { id: idOf('approval', id), ...approval } })
  }
  await put({ kind: 'end', run, lines: lines + 1 })
}

/** The row as it is, with ids and times as the API shows them. */
function shownOf({ id, forkedFrom, parentRun, ...row }: RunRow) {
  const time = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString())
  const { createdAt, startedAt, endedAt, updatedAt } = row
  return {
    id: idOf('run', id),
    ...row,
    ...{ createdAt: time(createdAt), startedAt: time(startedAt), endedAt: time(endedAt), updatedAt: time(updatedAt) },
    forkedFrom: forkedFrom === null ? null : idOf('run', forkedFrom),
    parentRun: parentRun === null ? null : idOf('run', parentRun),
  }
}
