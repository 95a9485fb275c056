/**
 * Payloads that nothing refers to go after a while. Invariants: a run that is about to refer to a payload says so (noteBlobUses) before its
 * commit, which also touches the payload; one that was touched lately is never looked at. What an event refers to stays with its run.
 */
import type { Db } from './connect.ts'

/** A payload that the next commit of the run may refer to. */
export interface BlobUse {
  namespace: string
  sha256: string
  runId: string
}

/** Notes uses, and touches the payloads. The payloads first: a collector that is at one of them has then gone, or leaves it alone. */
export async function noteBlobUses(db: Db, uses: readonly BlobUse[]): Promise<void> {
  if (uses.length === 0) return
  await db`
    with u as materialized (
      select distinct * from unnest(
        ${uses.map((use) => use.namespace)}::text[], ${uses.map((use) => use.sha256)}::text[], ${uses.map((use) => use.runId)}::uuid[]
      ) as u (namespace, sha256, run_id)
    ),
    seen as materialized (
      select b.ctid from (select distinct namespace, sha256 from u order by namespace, sha256) as u
        cross join lateral (
          select b.ctid from blobs b
           where b.namespace = u.namespace and b.sha256 = u.sha256 and b.touched_at < now() - interval '1 hour' for no key update
        ) as b
    ),
    touched as (update blobs b set touched_at = now() where b.ctid = any(array(select ctid from seen)) returning 1)
    insert into blob_uses (namespace, sha256, run_id)
    select u.namespace, u.sha256, u.run_id from u where (select count(*) from touched) >= 0 order by 1, 2, 3
    on conflict do nothing`
}

/** The payloads that events of the run may refer to, by id. */
export async function listBlobUses(db: Db, runId: string): Promise<string[]> {
  const rows = await db<{ sha256: string }[]>`select sha256 from blob_uses where run_id = ${runId} order by sha256`
  return rows.map((row) => row.sha256)
}

/** What became of the payloads that were looked at. */
export interface Collected {
  looked: number
  collected: number
}

/**
 * Looks at up to `limit` payloads that nobody has touched for this long. One that an event refers to is marked and not looked at again; one that
 * something unfinished may refer to (an open run, the inbox, the input of a run that has not begun) is looked at again later; the others go.
 */
export async function collectBlobs(db: Db, olderThanMs: number, limit: number): Promise<Collected> {
  const age = `${olderThanMs} milliseconds`
  const loose = await db<{ namespace: string; sha256: string }[]>`
    select namespace, sha256 from blobs
     where kept_by is null and touched_at < now() - ${age}::interval order by touched_at limit ${limit}`
  if (loose.length === 0) return { looked: 0, collected: 0 }
  const names = [loose.map((blob) => blob.namespace), loose.map((blob) => blob.sha256)] as const
  const awaited = await awaitedBlobs(db)
  const found = await db<{ namespace: string; sha256: string; keptBy: string | null; open: boolean }[]>`
    select c.namespace, c.sha256, ended.run_id as kept_by,
           exists (
             select from blob_uses u join runs r on r.id = u.run_id and r.ended_at is null
              where u.namespace = c.namespace and u.sha256 = c.sha256
           ) as open
      from unnest(${names[0]}::text[], ${names[1]}::text[]) as c (namespace, sha256)
      left join lateral (
        select u.run_id from blob_uses u join runs r on r.id = u.run_id and r.ended_at is not null
         where u.namespace = c.namespace and u.sha256 = c.sha256
           and (strpos(r.input::text, c.sha256) > 0 or strpos(r.output::text, c.sha256) > 0 or exists (
             select from run_events e where e.run_id = u.run_id and strpos(e.data::text, c.sha256) > 0))
         limit 1
      ) as ended on true`
  for (const blob of found) blob.open ||= awaited.has(`${blob.namespace} ${blob.sha256}`)
  const kept = found.filter(({ keptBy }) => keptBy !== null)
  const later = found.filter(({ keptBy, open }) => keptBy === null && open)
  const gone = found.filter(({ keptBy, open }) => keptBy === null && !open)
  await db`
    update blobs b set kept_by = k.run_id
      from unnest(${kept.map((b) => b.namespace)}::text[], ${kept.map((b) => b.sha256)}::text[], ${kept.map((b) => b.keptBy!)}::uuid[])
           as k (namespace, sha256, run_id)
     where b.namespace = k.namespace and b.sha256 = k.sha256`
  await db`
    update blobs b set touched_at = now()
      from unnest(${later.map((b) => b.namespace)}::text[], ${later.map((b) => b.sha256)}::text[]) as k (namespace, sha256)
     where b.namespace = k.namespace and b.sha256 = k.sha256`
  const [row] = await db<{ count: number }[]>`
    with gone as (
      delete from blobs b using unnest(${gone.map((b) => b.namespace)}::text[], ${gone.map((b) => b.sha256)}::text[]) as k (namespace, sha256)
       where b.namespace = k.namespace and b.sha256 = k.sha256 and b.kept_by is null and b.touched_at < now() - ${age}::interval
      returning b.namespace, b.sha256
    ),
    uses as (delete from blob_uses u using gone where u.namespace = gone.namespace and u.sha256 = gone.sha256)
    select count(*) as count from gone`
  return { looked: loose.length, collected: row!.count }
}

/** Payloads that facts in the inbox refer to, and inputs of runs that have not begun: no run has noted them yet. */
async function awaitedBlobs(db: Db): Promise<Set<string>> {
  const rows = await db<{ namespace: string; text: string }[]>`
    select namespace, fact::text as text from inbox where strpos(fact::text, '"$blob"') > 0
    union all
    select namespace, input::text from runs
     where started_at is null and status in ('queued', 'running', 'paused') and strpos(input::text, '"$blob"') > 0`
  return new Set(rows.flatMap(({ namespace, text }) => [...text.matchAll(/sha256:[0-9a-f]{64}/g)].map(([id]) => `${namespace} ${id}`)))
}
