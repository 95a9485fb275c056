/** Workflows, their immutable versions and the tags that point at them. */
import type { Json } from '@baton/contracts'
import { type Db, type Sql, withTransaction } from './connect.ts'
import { type Listed, type Page, pageOf, readCursor } from './cursors.ts'

/** A workflow as lists show it; `version` is the highest. */
export interface WorkflowRow {
  name: string
  description: string | null
  version: number
  tags: Record<string, number>
  /** The share of runs that take the tag canary when nothing else is named; null: none does. */
  canaryPercent: number | null
  archived: boolean
  createdAt: number
  updatedAt: number
}
export interface WorkflowVersionRow {
  name: string
  version: number
  checksum: string
  createdAt: number
  createdBy: string
}
export interface NewVersion {
  namespace: string
  name: string
  description: string | null
  /** Of the canonical JSON: two definitions that are equal as parsed JSON have the same. */
  checksum: string
  definition: Json
  createdBy: string
}

/** Saves a definition. `created` is false when it equals the highest version, which is then given. Revives an archived name. Versions have no gaps. */
export function putWorkflow(sql: Sql, item: NewVersion): Promise<{ version: number; created: boolean; revived: boolean }> {
  const { namespace, name, checksum } = item
  return withTransaction(sql, async (tx) => {
    await tx`
      insert into definitions (namespace, checksum, source) values (${namespace}, ${checksum}, ${JSON.stringify(item.definition)}::text::json)
      on conflict do nothing`
    // Locks the name: those who save it at the same moment go one after the other.
    await tx`insert into workflows (namespace, name) values (${namespace}, ${name}) on conflict (namespace, name) do nothing`
    const [known] = await tx<{ version: number; archived: boolean; checksum: string | null }[]>`
      select w.latest_version as version, w.archived_at is not null as archived, v.checksum
        from workflows w
        left join workflow_versions v on (v.namespace, v.name, v.version) = (w.namespace, w.name, w.latest_version)
       where w.namespace = ${namespace} and w.name = ${name} for update of w`
    const { version: latest, archived } = known!
    if (known!.checksum === checksum) {
      if (archived) await tx`update workflows set archived_at = null, updated_at = now() where namespace = ${namespace} and name = ${name}`
      return { version: latest, created: false, revived: archived }
    }
    const version = latest + 1
    await tx`
      insert into workflow_versions (namespace, name, version, checksum, description, created_by)
      values (${namespace}, ${name}, ${version}, ${checksum}, ${item.description}, ${item.createdBy})`
    await tx`
      update workflows set latest_version = ${version}, description = ${item.description}, archived_at = null, updated_at = now()
       where namespace = ${namespace} and name = ${name}`
    return { version, created: true, revived: archived }
  })
}

/** A workflow with the definition of its highest version, archived or not. */
export async function getWorkflow(
  db: Db,
  namespace: string,
  name: string,
): Promise<(WorkflowRow & { checksum: string; definition: Json }) | undefined> {
  const [row] = await db<(WorkflowRow & { checksum: string; definition: Json })[]>`
    select ${summary(db)}, v.checksum, d.source as definition
      from workflows w
      join workflow_versions v on (v.namespace, v.name, v.version) = (w.namespace, w.name, w.latest_version)
      join definitions d on (d.namespace, d.checksum) = (v.namespace, v.checksum)
     where w.namespace = ${namespace} and w.name = ${name}`
  return row
}

/** Workflows of the namespace, newest first, archived ones too unless they are left out. Throws InvalidCursor. */
export async function listWorkflows(
  db: Db,
  namespace: string,
  page: Page,
  filter: { archived?: boolean | undefined } = {},
): Promise<Listed<WorkflowRow>> {
  const after = readCursor<[number, string]>(page.cursor, ['number', 'text'])
  const beyond = after ? db`and (w.created_at < ${ms(after[0])} or (w.created_at = ${ms(after[0])} and w.name > ${after[1]}))` : db``
  const archived = filter.archived === undefined ? db`` : db`and (w.archived_at is not null) = ${filter.archived}`
  const rows = await db<WorkflowRow[]>`
    select ${summary(db)} from workflows w
     where w.namespace = ${namespace} and w.latest_version > 0 ${archived} ${beyond}
     order by w.created_at desc, w.name limit ${page.limit + 1}`
  return pageOf(rows, page.limit, (last) => [last.createdAt, last.name])
}

function summary(db: Db) {
  return db`
    w.name, w.description, w.latest_version as version, w.archived_at is not null as archived, w.created_at, w.updated_at,
    (select coalesce(json_object_agg(t.tag, t.version order by t.tag), '{}') from workflow_tags t
      where t.namespace = w.namespace and t.name = w.name) as tags,
    (select t.percent from workflow_tags t where t.namespace = w.namespace and t.name = w.name and t.tag = 'canary') as canary_percent`
}

function ms(value: number): Date {
  return new Date(value)
}

/** Versions of a workflow, newest first. Throws InvalidCursor. */
export async function listVersions(db: Db, namespace: string, name: string, page: Page): Promise<Listed<WorkflowVersionRow>> {
  const [after] = readCursor<[number]>(page.cursor, ['number']) ?? []
  const rows = await db<WorkflowVersionRow[]>`
    select name, version, checksum, created_at, created_by from workflow_versions
     where namespace = ${namespace} and name = ${name} ${after === undefined ? db`` : db`and version < ${after}::bigint`}
     order by version desc limit ${page.limit + 1}`
  return pageOf(rows, page.limit, (last) => [last.version])
}

/** A version with its definition. */
export async function getVersion(
  db: Db,
  namespace: string,
  name: string,
  version: number,
): Promise<(WorkflowVersionRow & { definition: Json }) | undefined> {
  const [row] = await db<(WorkflowVersionRow & { definition: Json })[]>`
    select v.name, v.version, v.checksum, v.created_at, v.created_by, d.source as definition
      from workflow_versions v join definitions d on (d.namespace, d.checksum) = (v.namespace, v.checksum)
     where v.namespace = ${namespace} and v.name = ${name} and v.version = ${version}::bigint`
  return row
}

/** Archives a workflow: it can no longer be started. False when there is none; archiving twice is no error. */
export async function archiveWorkflow(db: Db, namespace: string, name: string): Promise<boolean> {
  const { count } = await db`
    update workflows set archived_at = coalesce(archived_at, now()), updated_at = now()
     where namespace = ${namespace} and name = ${name} and latest_version > 0`
  return count > 0
}

/** Points a tag at a version; `percent` is that of a canary. False when the workflow has no such version. */
export async function putTag(
  db: Db,
  namespace: string,
  name: string,
  tag: string,
  version: number,
  percent: number | null = null,
): Promise<boolean> {
  const { count } = await db`
    insert into workflow_tags (namespace, name, tag, version, percent)
    select v.namespace, v.name, ${tag}, v.version, ${percent}::smallint from workflow_versions v
     where v.namespace = ${namespace} and v.name = ${name} and v.version = ${version}::bigint
    on conflict (namespace, name, tag) do update set version = excluded.version, percent = excluded.percent, updated_at = now()`
  return count > 0
}

/** What a start means. `canary` takes the place of the version for its share of runs; there only when no version and no tag was named. */
export interface ResolvedVersion {
  version: number
  checksum: string
  archived: boolean
  canary?: { version: number; checksum: string; percent: number }
}

/** The version that a start means: the one given, else that of the tag given, else that of the tag `live` if set, else the highest. */
export async function resolveVersion(
  db: Db,
  namespace: string,
  name: string,
  wanted: { version?: number | undefined; tag?: string | undefined },
): Promise<ResolvedVersion | undefined> {
  const version = wanted.version ?? null
  const tag = wanted.tag ?? null
  const [row] = await db<(Omit<ResolvedVersion, 'canary'> & { canary: ResolvedVersion['canary'] | null })[]>`
    select v.version, v.checksum, w.archived_at is not null as archived,
           (select json_build_object('version', c.version, 'checksum', c.checksum, 'percent', ct.percent)
              from workflow_tags ct join workflow_versions c on (c.namespace, c.name, c.version) = (ct.namespace, ct.name, ct.version)
             where ct.namespace = w.namespace and ct.name = w.name and ct.tag = 'canary' and ct.percent > 0
               and ${version}::bigint is null and ${tag}::text is null) as canary
      from workflows w
      left join workflow_tags t on t.namespace = w.namespace and t.name = w.name and t.tag = coalesce(${tag}::text, 'live')
      join workflow_versions v on v.namespace = w.namespace and v.name = w.name
       and v.version = coalesce(${version}::bigint, t.version, case when ${tag}::text is null then w.latest_version end)
     where w.namespace = ${namespace} and w.name = ${name}`
  if (!row) return undefined
  const { canary, ...resolved } = row
  return canary ? { ...resolved, canary } : resolved
}

/** The frozen copy that runs with this checksum execute. */
export async function getDefinition(db: Db, namespace: string, checksum: string): Promise<Json | undefined> {
  const [row] = await db<{ source: Json }[]>`select source from definitions where namespace = ${namespace} and checksum = ${checksum}`
  return row?.source
}
