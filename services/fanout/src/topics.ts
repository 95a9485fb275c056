/** Names of topics (CONTRACT §5): what clients may write, and which live topics an event belongs to. */
import { idOf, type LiveEvent, NAME, uuidOf } from '@baton/contracts'

/** A topic as a client named it. `runId` is the bare UUID, or undefined when the text is not a run id (no such run, then). */
export type Topic =
  | { kind: 'run'; name: string; runId: string | undefined }
  | { kind: 'agent'; name: string; runId: string | undefined }
  | { kind: 'live'; name: string }

const FAMILIES = new Set(['approvals', 'tasks', 'agents', 'all'])

/** Reads a topic's name; undefined = there is no such topic. */
export function parseTopic(name: string): Topic | undefined {
  if (FAMILIES.has(name)) return { kind: 'live', name }
  const colon = name.indexOf(':')
  const rest = name.slice(colon + 1)
  if (colon < 0 || rest === '') return undefined
  const family = name.slice(0, colon)
  if (family === 'run') return { kind: 'run', name, runId: uuidOf('run', rest) }
  if (family === 'workflow') return NAME.test(rest) ? { kind: 'live', name } : undefined
  if (family !== 'agent') return undefined
  const slash = rest.indexOf('/')
  return slash > 0 && slash < rest.length - 1 ? { kind: 'agent', name, runId: uuidOf('run', rest.slice(0, slash)) } : undefined
}

const FAMILY_OF: Record<string, string> = { approval: 'approvals', task: 'tasks', agent: 'agents' }

/** The live topics of an event; its `run:` topic is not among them. */
export function liveTopicsOf(event: LiveEvent): string[] {
  const noun = event.type.slice(0, event.type.indexOf('.'))
  const topics = ['all', `workflow:${event.workflow}`]
  const family = FAMILY_OF[noun]
  if (family !== undefined) topics.push(family)
  if (noun === 'agent') topics.push(`agent:${idOf('run', event.runId)}/${event.path}`)
  return topics
}
