/**
 * What a fork takes over (CONTRACT §4): of the steps that do not depend on `from`, those that have ended and let others go on. Their events are
 * recorded in the new run as if it had run them, marked `copied`; of what lies between their first and their last event (attempts, waits,
 * approvals) nothing is. What failed or was cancelled runs again, as do those that had not ended.
 */
import type { Json, StoredEvent } from '@baton/contracts'
import { timeText } from './deciding.ts'
import { innerScopes, instanceOf } from './instances.ts'
import { closure } from './resets.ts'
import { hasEnded, isSatisfied, type RunState, type ScopeState, type StepState } from './state.ts'

/** An event that is still to be numbered and dated. */
export type CopiedEvent = Pick<StoredEvent, 'type' | 'path' | 'data'>

/** The events that the new run begins with, behind run.created; or why there can be no such fork. */
export function forkOf(
  state: RunState,
  events: readonly StoredEvent[],
  from: string,
): { events: CopiedEvent[] } | { refused: string; isUnknown: boolean } {
  const index = state.root.scope.byId.get(from)
  if (index === undefined) {
    if (!state.steps.has(from)) return { refused: `the run has no step ${from}`, isUnknown: true }
    const top = from.slice(0, from.search(/[.[]/))
    return { refused: `step ${from} is inside ${top}: a run can be forked from a step at the top alone, here ${top}`, isUnknown: false }
  }
  const again = closure(state.root.steps[index]!)
  const kept = state.root.steps.filter((step) => hasEnded(step) && isSatisfied(step) && !again.includes(step))
  const recorded = indexEvents(events)
  const blocks = kept.map((step) => copyStep(step, recorded)).sort((a, b) => a.seq - b.seq)
  return { events: blocks.flatMap((block) => block.events) }
}

interface Recorded {
  bySeq: Map<number, StoredEvent>
  /** The last event that scheduled the first attempt of a step, by its path: what it holds was rendered for that generation. */
  scheduled: Map<string, StoredEvent>
}

function indexEvents(events: readonly StoredEvent[]): Recorded {
  const recorded: Recorded = { bySeq: new Map(), scheduled: new Map() }
  for (const event of events) {
    recorded.bySeq.set(event.seq, event)
    if (event.type === 'step.scheduled' && event.data.attempt === 1) recorded.scheduled.set(event.path, event)
  }
  return recorded
}

/** The events of a step that has ended and of all inside it; `seq` is that of the first in the run that it is copied from. */
function copyStep(step: StepState, recorded: Recorded): { seq: number; events: CopiedEvent[] } {
  const end = recorded.bySeq.get(step.endedSeq!)!
  const scheduled = step.scheduledAt === null ? undefined : recorded.scheduled.get(step.path)
  const events = innerScopes(step).flatMap((scope) => copyScope(scope, recorded))
  // A container that was reopened has ended in a later generation than the one that it was scheduled in.
  if (scheduled) events.unshift(copyOf(scheduled, { generation: step.generation }))
  events.push(copyOf(end, { endedAt: timeText(step.endedAt!) }))
  return { seq: scheduled?.seq ?? end.seq, events }
}

function copyScope(scope: ScopeState, recorded: Recorded): CopiedEvent[] {
  const blocks = scope.steps.filter(hasEnded).map((step) => copyStep(step, recorded))
  const events = blocks.sort((a, b) => a.seq - b.seq).flatMap((block) => block.events)
  if (!scope.failing || scope.index === undefined) return events
  const data = { index: scope.index, error: scope.failing as unknown as Json, copied: true }
  return [...events, { type: 'step.ending', path: instanceOf(scope), data }]
}

function copyOf({ type, path, data }: StoredEvent, more: Record<string, Json>): CopiedEvent {
  return { type, path, data: { ...data, ...more, copied: true } }
}
