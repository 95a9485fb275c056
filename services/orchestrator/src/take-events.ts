/** Accepting events: those of the same moment in one transaction for each namespace; then the runs that wait, and those that began, are told. */
import type { FactSender } from '@baton/runtime'
import {
  type AcceptedEvents,
  acceptEvents,
  type EventToAccept,
  findEventTriggers,
  isValueRefused,
  takeUntriggered,
  withTransaction,
} from '@baton/store'
import { groupCommits } from './group-commits.ts'
import type { Metrics } from './metrics.ts'
import { startTriggered, type Triggered, type TriggeredDeps, tellTriggered } from './start-triggered.ts'

/** An event as its request brought it. */
export interface TakenEvent extends EventToAccept {
  trace?: string | undefined
  requestId?: string | undefined
}

type Outcomes = AcceptedEvents['outcomes']

export interface EventTaker {
  /** Durable when it answers. */
  take(namespace: string, events: TakenEvent[]): Promise<Outcomes>
  /** Starts what was wanted of events that were accepted elsewhere; gives how many events those were. */
  fireUntriggered(): Promise<number>
}

export interface EventTakerOptions extends TriggeredDeps {
  facts: FactSender
  metrics: Pick<Metrics, 'triggerFirings' | 'events'>
  /** Events of one transaction, as far as they come from several requests. */
  groupEventsMax: number
}

const GROUPS_MAX = 2
const UNTRIGGERED_AT_ONCE = 200

/** Makes the one that takes events in this process. */
export function createEventTaker(options: EventTakerOptions): EventTaker {
  const { sql, facts, metrics, groupEventsMax } = options

  const groups = new Map<string, (events: TakenEvent[]) => Promise<Outcomes>>()

  function groupOf(namespace: string) {
    const known = groups.get(namespace)
    if (known) return known
    const group = groupCommits<TakenEvent, Outcomes[number]>({
      write: (events) => write(namespace, events),
      itemsMax: groupEventsMax,
      groupsMax: GROUPS_MAX,
      isPoison: isValueRefused,
    })
    groups.set(namespace, group)
    return group
  }

  async function write(namespace: string, events: TakenEvent[]): Promise<Outcomes> {
    const accepted = await acceptEvents<Triggered, TakenEvent>(sql, namespace, events, async (tx, fresh, triggers) => {
      return [await startTriggered(options, tx, fresh, triggers)]
    })
    tell(accepted)
    return accepted.outcomes
  }

  function tell({ woken, runs, accepted, duplicates }: AcceptedEvents<Triggered>): void {
    // Not waited for: what was accepted stands in the inbox, and the reconciler finds what Redis did not take.
    for (const runId of woken) facts.send({ kind: 'inbox', runId }).catch(() => {})
    for (const triggered of runs) tellTriggered(options, triggered)
    metrics.events.inc({ outcome: 'accepted' }, accepted)
    metrics.events.inc({ outcome: 'duplicate' }, duplicates)
  }

  return {
    take: (namespace, events) => (events.length === 0 ? Promise.resolve([]) : groupOf(namespace)(events)),
    async fireUntriggered() {
      const { count, all } = await withTransaction(sql, async (tx) => {
        const events = await takeUntriggered(tx, UNTRIGGERED_AT_ONCE)
        const triggered: Triggered[] = []
        for (const [namespace, own] of Map.groupBy(events, (event) => event.namespace)) {
          const triggers = await findEventTriggers(tx, namespace, [...new Set(own.map(({ type }) => type))])
          triggered.push(await startTriggered(options, tx, own, triggers))
        }
        return { count: events.length, all: triggered }
      })
      for (const triggered of all) tellTriggered(options, triggered)
      return count
    },
  }
}
