/** What event triggers start: their filters and mappings over new events, in the transaction that accepts those. */
import { type Json, storable } from '@baton/contracts'
import { compileFilter, compileMapping, type Filter, type Mapping } from '@baton/engine'
import { type Db, type EventTrigger, noteTriggerError, type Sql } from '@baton/store'
import { LRUCache } from 'lru-cache'
import { type DraftTriggeredRun, refusalOf, storeTriggered } from './draft-triggered-runs.ts'
import type { Metrics } from './metrics.ts'
import type { RunStarter, RunToStart, StartedRun } from './start-runs.ts'

/** What a row of `triggers` keeps of its body, of either type. */
export interface TriggerSettings {
  version?: number | undefined
  tag?: string | undefined
  labels?: Record<string, string> | undefined
  priority?: number | undefined
  where?: string | undefined
  input?: Json | undefined
}

/** Filter and mapping of a trigger; undefined: everything matches, and the input is the event or the body. */
export interface CompiledTrigger {
  filter: Filter | undefined
  mapping: Mapping | undefined
}

const compiled = new LRUCache<string, CompiledTrigger>({ max: 1_000 })

/** Compiles what was checked when the trigger was saved. */
export function compileTrigger({ where, input }: TriggerSettings, variables: readonly string[]): CompiledTrigger {
  const key = JSON.stringify([variables, where, input])
  const known = compiled.get(key)
  if (known) return known
  const filter = where === undefined ? undefined : compileFilter(where, variables, '/where')
  const mapping = input === undefined ? undefined : compileMapping(input, variables, '/input')
  const wrong = filter?.errors ?? mapping?.errors
  if (wrong) throw new Error(`a stored trigger does not compile: ${wrong[0]!.pointer}: ${wrong[0]!.message}`)
  const made = { filter: filter?.compiled, mapping: mapping?.compiled }
  compiled.set(key, made)
  return made
}

/** An event that may start runs, and the request that brought it. */
export interface TriggeringEvent {
  type: string
  event: Json
  trace?: string | undefined
  requestId?: string | undefined
}

/** What was stored, and what could not be; for afterwards, when the transaction has ended. */
export interface Triggered {
  runs: RunToStart[]
  started: StartedRun[]
  refused: { trigger: EventTrigger; reason: string }[]
  unmatched: number
}

export interface TriggeredDeps {
  sql: Sql
  draft: DraftTriggeredRun
  starter: RunStarter
  metrics: Pick<Metrics, 'triggerFirings'>
}

/** Stores the runs that these triggers want of these events. What a trigger cannot make of an event stops nobody else. */
export async function startTriggered(
  { sql, draft }: TriggeredDeps,
  tx: Db,
  events: readonly TriggeringEvent[],
  triggers: readonly EventTrigger[],
): Promise<Triggered> {
  const pairs = triggers.flatMap((trigger) => events.filter(({ type }) => type === trigger.eventType).map((event) => ({ trigger, event })))
  // At once, so that all of them look for their workflows together.
  const drafts = await Promise.all(pairs.map(({ trigger, event }) => tryDraft(draft, trigger, event)))
  const runs = drafts.flatMap((one) => one.run ?? [])
  return {
    runs,
    started: await storeTriggered(sql, tx, runs),
    refused: drafts.flatMap(({ reason }, index) => (reason === undefined ? [] : [{ trigger: pairs[index]!.trigger, reason }])),
    unmatched: drafts.filter(({ run, reason }) => run === undefined && reason === undefined).length,
  }
}

async function tryDraft(
  draft: DraftTriggeredRun,
  trigger: EventTrigger,
  event: TriggeringEvent,
): Promise<{ run?: RunToStart; reason?: string }> {
  try {
    const run = await draftTriggered(draft, trigger, event)
    return run ? { run } : {}
  } catch (error) {
    const reason = refusalOf(error)
    if (reason === undefined) throw error
    return { reason }
  }
}

async function draftTriggered(draft: DraftTriggeredRun, trigger: EventTrigger, { event, trace, requestId }: TriggeringEvent) {
  const { namespace, name, workflow } = trigger
  const settings = trigger.settings as unknown as TriggerSettings
  const { filter, mapping } = compileTrigger(settings, ['event'])
  if (filter && !filter.matches({ event })) return undefined
  const { version, tag, priority } = settings
  const labels = { ...settings.labels, 'baton.trigger': name }
  const origin = { namespace, startedBy: `trigger:${name}`, workflow, version, tag, priority, labels, trace, requestId }
  return draft(origin, mapping ? mapping.render({ event }) : event)
}

/** After the commit: the runner is told, and what was refused is noted where people look for it. */
export function tellTriggered({ sql, starter, metrics }: TriggeredDeps, { runs, started, refused, unmatched }: Triggered): void {
  starter.announce(runs, started)
  metrics.triggerFirings.inc({ type: 'event', outcome: 'started' }, runs.length)
  metrics.triggerFirings.inc({ type: 'event', outcome: 'unmatched' }, unmatched)
  metrics.triggerFirings.inc({ type: 'event', outcome: 'refused' }, refused.length)
  const last = new Map(refused.map(({ trigger, reason }) => [trigger.name, { trigger, reason }]))
  for (const { trigger, reason } of last.values()) {
    noteTriggerError(sql, trigger.namespace, trigger.name, storable(reason) as string).catch(() => {})
  }
}
