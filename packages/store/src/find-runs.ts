/**
 * Lists and counts of runs under filters. A page reads about as many rows as it shows, however many runs there are: every query here walks one
 * index in the order of the page, and stops when the page is full.
 */
import { RUN_STATUSES, type RunStatus } from '@baton/contracts'
import type { Db } from './connect.ts'
import { type Listed, type Page, pageOf, readCursor } from './cursors.ts'
import type { RunRow } from './runs.ts'

/** Which runs: all that is given must hold. `since` (inclusive) and `until` (exclusive) bound the creation, as RFC 3339 or ms. */
export interface RunsFilter {
  workflow?: string | undefined
  status?: readonly RunStatus[] | undefined
  /** `key:value`; a key may not hold a colon. */
  label?: readonly string[] | undefined
  since?: string | number | undefined
  until?: string | number | undefined
}

type Label = { key: string; value: string }

/** A filter as the queries take it. */
interface Search {
  db: Db
  namespace: string
  workflow: string | undefined
  /** None: of whatever status. */
  statuses: RunStatus[]
  labels: Label[]
  since: string | undefined
  until: string | undefined
}

/** Runs of the namespace, newest first. Throws InvalidCursor. */
export async function listRuns(db: Db, namespace: string, filter: RunsFilter, page: Page): Promise<Listed<RunRow>> {
  const [after] = readCursor<[string]>(page.cursor, ['uuid']) ?? []
  const search = searchOf(db, namespace, filter)
  const query = { after, limit: page.limit + 1 }
  const driver = await chooseLabel(search)
  const rows = driver
    ? await listOfLabel(search, driver, query)
    : search.statuses.length > 0 || search.workflow !== undefined
      ? await listOfStatuses(search, query)
      : await listAll(search, query)
  return pageOf(rows, page.limit, (last) => [last.id])
}

/** How many runs match. */
export async function countRuns(db: Db, namespace: string, filter: RunsFilter): Promise<number> {
  const search = searchOf(db, namespace, filter)
  const [label, ...others] = search.labels
  const rest = db`${ofWorkflow(search)} ${ofStatuses(search)} ${createdBetween(search)}`
  const asksRuns = search.workflow !== undefined || search.statuses.length > 0 || search.since !== undefined || search.until !== undefined
  const [row] = label
    ? await db<{ count: number }[]>`
        select count(*) from run_labels l
         where ${isLabel(search, label)} ${hasLabels(search, others, db`l.run_id`)} ${idBetween(search, db`l.run_id`)}
           ${asksRuns ? db`and exists (select from runs r where r.id = l.run_id ${rest} offset 0)` : db``}`
    : await db<{ count: number }[]>`
        select count(*) from runs r where r.namespace = ${namespace} ${rest} ${idBetween(search, db`r.id`)}`
  return row!.count
}

type PageQuery = { after: string | undefined; limit: number }

function listAll(search: Search, { after, limit }: PageQuery): Promise<RunRow[]> {
  const { db, namespace } = search
  return db<RunRow[]>`
    select r.* from runs r
     where r.namespace = ${namespace} ${createdBetween(search)} ${idBetween(search, db`r.id`, after)}
     order by r.id desc limit ${limit}`
}

/** Each status by itself, newest first out of its own part of the index, rather than all runs filtered by status. */
function listOfStatuses(search: Search, { after, limit }: PageQuery): Promise<RunRow[]> {
  const { db, namespace, statuses, labels } = search
  return db<RunRow[]>`
    select r.*
      from (
        select found.id from unnest(${statuses.length > 0 ? statuses : [...RUN_STATUSES]}::text[]) as wanted (status)
          cross join lateral (
            select i.id from runs i ${checkedCreation(search)}
             where i.namespace = ${namespace} and i.status = wanted.status ${ofWorkflow(search, db`i.workflow`)}
                   ${idBetween(search, db`i.id`, after)} ${hasLabels(search, labels, db`i.id`)}
             order by i.id desc limit ${limit}
          ) as found
         order by found.id desc limit ${limit}
      ) as page
      cross join lateral (select * from runs r where r.id = page.id offset 0) as r
     order by page.id desc`
}

/** The runs of a label in the order of their ids, each looked at for the rest of the filter. */
function listOfLabel(search: Search, label: Label, { after, limit }: PageQuery): Promise<RunRow[]> {
  const { db, labels } = search
  const others = labels.filter((other) => other !== label)
  return db<RunRow[]>`
    select r.*
      from run_labels l
      cross join lateral (
        select * from runs r where r.id = l.run_id ${ofWorkflow(search)} ${ofStatuses(search)} ${createdBetween(search)} offset 0
      ) as r
     where ${isLabel(search, label)} ${hasLabels(search, others, db`l.run_id`)} ${idBetween(search, db`l.run_id`, after)}
     order by l.run_id desc limit ${limit}`
}

/** Runs that are counted to tell what is rare; what has more of them is common, and a page of it is soon full. */
const COMMON = 10_000

/**
 * The label whose runs are walked: the rarest, or none when there is none or when fewer runs have the status and workflow. Told by counting a
 * little: statistics know the common values alone, and a plan that is kept for a statement knows no values.
 */
async function chooseLabel(search: Search): Promise<Label | undefined> {
  const { db, namespace, workflow, statuses, labels } = search
  const others = workflow !== undefined || statuses.length > 0
  if (labels.length < 2 && !others) return labels[0]
  if (labels.length === 0) return undefined
  const counts = await db<{ place: number; count: number }[]>`
    select w.place::int, (
        select count(*) from (
          select from run_labels l where l.namespace = ${namespace} and l.key = w.key and l.value = w.value order by l.run_id desc limit ${COMMON}
        ) as l
      ) as count
      from unnest(${labels.map(({ key }) => key)}::text[], ${labels.map(({ value }) => value)}::text[]) with ordinality as w (key, value, place)`
  const rarest = counts.reduce((least, next) => (next.count < least.count ? next : least))
  if (others && rarest.count >= COMMON / 10 && (await countAtMost(search, rarest.count)) < rarest.count) return undefined
  return labels[rarest.place - 1]
}

/** How many runs have the workflow and one of the statuses, counted up to `most`. */
async function countAtMost(search: Search, most: number): Promise<number> {
  const { db, namespace, statuses } = search
  const [row] = await db<{ count: number }[]>`
    select count(*) from (
      select from unnest(${statuses.length > 0 ? statuses : [...RUN_STATUSES]}::text[]) as wanted (status)
        cross join lateral (
          select from runs r where r.namespace = ${namespace} and r.status = wanted.status ${ofWorkflow(search)} order by r.id desc limit ${most}
        ) as r
       limit ${most}
    ) as found`
  return row!.count
}

/** Ids carry the clock of whoever made them: bounds on them only narrow the search, by an hour more than any clock may be wrong. */
const SKEW = '1 hour'

function ofWorkflow({ db, workflow }: Search, column = db`r.workflow`) {
  return workflow === undefined ? db`` : db`and ${column} = ${workflow}`
}

/**
 * Looks into the row of each `i` by itself. A condition on the row beside those on the index would have the planner walk the primary key, whose
 * order is that of the table, in the hope to soon meet enough of a status of which it knows no value.
 */
function checkedCreation(search: Search) {
  const { db, since, until } = search
  if (since === undefined && until === undefined) return db``
  return db`cross join lateral (select from runs r where r.id = i.id ${createdBetween(search)} offset 0) as r`
}

function ofStatuses({ db, statuses }: Search) {
  return statuses.length === 0 ? db`` : db`and r.status = any(${statuses}::text[])`
}

function createdBetween({ db, since, until }: Search) {
  return db`
    ${since === undefined ? db`` : db`and r.created_at >= ${since}::timestamptz`}
    ${until === undefined ? db`` : db`and r.created_at < ${until}::timestamptz`}`
}

function idBetween({ db, since, until }: Search, id: ReturnType<Db>, after?: string) {
  return db`
    ${after === undefined ? db`` : db`and ${id} < ${after}`}
    ${since === undefined ? db`` : db`and ${id} >= uuid_floor(${since}::timestamptz - ${SKEW}::interval)`}
    ${until === undefined ? db`` : db`and ${id} < uuid_floor(${until}::timestamptz + ${SKEW}::interval)`}`
}

function isLabel({ db, namespace }: Search, { key, value }: Label) {
  return db`l.namespace = ${namespace} and l.key = ${key} and l.value = ${value}`
}

function hasLabels({ db, namespace }: Search, labels: readonly Label[], id: ReturnType<Db>) {
  return labels.reduce(
    (all, { key, value }) => db`
      ${all} and exists (
        select from run_labels o where o.namespace = ${namespace} and o.key = ${key} and o.value = ${value} and o.run_id = ${id} offset 0
      )`,
    db``,
  )
}

function searchOf(db: Db, namespace: string, { workflow, status = [], label = [], since, until }: RunsFilter): Search {
  const time = (value: string | number | undefined) => (value === undefined ? undefined : new Date(value).toISOString())
  const labels = [...new Set(label)].map((text) => {
    const colon = text.indexOf(':')
    return { key: text.slice(0, colon), value: text.slice(colon + 1) }
  })
  return { db, namespace, workflow, statuses: [...new Set(status)], labels, since: time(since), until: time(until) }
}
