/** Whether what people asked of runs was done, once each, and nothing that nobody has asked for: replays, retries, forks, cancels. */
import type { CloudEvent } from '@baton/client'
import type { Derived } from './checker.ts'
import type { Control } from './drive.ts'

/** CONTRACT §6: what was accepted moves its run within this. */
const MOVES_MS_MAX = 30_000
/** The clock of the machine is set now and then. */
const CLOCK_MS = 500

/** An event that ends a run; one that is reopened has several. */
export const ENDS_RUN = /^dev\.baton\.run\.(succeeded|failed|cancelled|timed_out)$/
/** Each reopening is one of these: of a run that had ended, or of one that went on. */
const REOPENS = /^dev\.baton\.(run\.reopened|step\.replayed)$/

/** How often the run was let begin again. */
export function reopeningsOf(events: readonly CloudEvent[]): number {
  return events.filter(({ type }) => REOPENS.test(type)).length
}

/**
 * The highest generation that a step of the run can be in: each reopening adds one. What a fork does again begins at 0, as in any run; a step that
 * it has copied from a later life of its source, and that is replayed in the fork, goes on from there.
 */
export function lastGenerationOf(events: readonly CloudEvent[]): number {
  const copied = events.filter(({ data }) => data.copied === true).map(({ data }) => Number(data.generation ?? 0))
  return reopeningsOf(events) + Math.max(0, ...copied)
}

/** What is wrong with runs (their events, by id) after what was asked of them. */
export function judgeControls(controls: readonly Control[], eventsOf: ReadonlyMap<string, readonly CloudEvent[]>): string[] {
  const askedOf = Map.groupBy(controls, ({ run }) => run)
  return [...eventsOf].flatMap(([run, events]) => {
    const asked = askedOf.get(run) ?? []
    const cancels = asked.filter(({ kind }) => kind === 'cancel')
    return [...judgeReopenings(run, asked, events), ...cancels.flatMap((cancel) => judgeCancel(cancel, events))]
  })
}

/** A 409 counts as well: then an earlier one was taken. */
function judgeReopenings(run: string, asked: readonly Control[], events: readonly CloudEvent[]): string[] {
  const reopening = asked.filter(({ kind }) => kind === 'replay' || kind === 'retry')
  const times = reopeningsOf(events)
  if (reopening[0] && times === 0) return [`${run} lost the ${reopening[0].kind}, which was accepted`]
  const accepted = reopening.filter((one) => one.accepted).length
  if (times <= accepted || reopening.some(({ unsure }) => unsure)) return []
  return [`${run} was reopened ${times} times, which was asked for ${accepted} times`]
}

/** One that comes too late is refused; one that is taken may be overtaken by the end of the run, while nobody has heard of it. */
function judgeCancel({ run, accepted, at }: Control, events: readonly CloudEvent[]): string[] {
  const endedAt = Date.parse(events.find(({ type }) => ENDS_RUN.test(type))?.time ?? '')
  if (!accepted) return endedAt <= at + CLOCK_MS ? [] : [`${run} refused a cancel before it had ended`]
  const isTaken = endedAt <= at + MOVES_MS_MAX || events.some(({ type }) => type === 'dev.baton.run.cancelled')
  return isTaken ? [] : [`${run} lost the cancel, which was accepted`]
}

/** Each fork that was answered is there, and there are no others, save those of tries that had no answer. */
export function judgeForks(controls: readonly Control[], derived: readonly Derived[]): string[] {
  const forks = derived.flatMap(({ id, forkedFrom }) => (forkedFrom === undefined ? [] : [{ id, forkedFrom }]))
  const forksOf = Map.groupBy(forks, ({ forkedFrom }) => forkedFrom)
  const askedOf = Map.groupBy(
    controls.filter(({ kind }) => kind === 'fork'),
    ({ run }) => run,
  )
  return [...new Set([...forksOf.keys(), ...askedOf.keys()])].flatMap((run) => {
    const made = (forksOf.get(run) ?? []).map(({ id }) => id)
    const asked = askedOf.get(run) ?? []
    const lost = asked.filter((fork) => !made.includes(fork.made ?? '')).map((fork) => `${run} lost its fork ${fork.made}`)
    if (lost.length > 0 || made.length <= asked.length || asked.some(({ unsure }) => unsure)) return lost
    return [`${run} was forked ${made.length} times, which was asked for ${asked.length} times`]
  })
}
