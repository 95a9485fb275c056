import { askedGauges, counter, gauge, histogram } from '@baton/runtime'
import type { PendingApprovals } from '@baton/store'

export type ChannelKind = 'webhook' | 'slack' | 'email' | 'unreadable'
export type ChannelOutcome = 'delivered' | 'refused' | 'failed' | 'unsupported'

/** What is counted of notifications and deadlines. */
export interface NotifyMetrics {
  told(channel: ChannelKind, outcome: ChannelOutcome, durationMs: number): void
  requeued(count: number): void
  /** Pending approvals past their deadline, as last seen. */
  overdue(count: number): void
}

const MS_PER_SECOND = 1_000

/** Metrics of this process. Each replica tells the same of the approvals: take their maximum, not their sum. */
export function createNotifyMetrics(readPending: () => Promise<PendingApprovals>): NotifyMetrics {
  const told = counter('baton_notifications_total', 'Tries to tell a channel of an approval, by outcome', ['channel', 'outcome'])
  const seconds = histogram('baton_notification_seconds', 'How long receivers took to answer')
  const requeued = counter('baton_notifications_requeued_total', 'Approvals whose notification had to be queued again')
  let overdue = 0
  gauge('baton_approvals_overdue', 'Pending approvals past their deadline', () => overdue)
  askedGauges(
    {
      baton_approvals_pending: {
        help: 'Pending approvals by whom they wait for: user, group, role:<role>, other; one that asks several counts for each',
        labelNames: ['assignee'],
      },
      baton_approvals_oldest_seconds: { help: 'Age of the oldest pending approval' },
    },
    async () => {
      const { byAssignee, oldestMs } = await readPending()
      return {
        baton_approvals_pending: byAssignee.map(({ assignee, count }) => ({ labels: { assignee }, value: count })),
        baton_approvals_oldest_seconds: oldestMs / MS_PER_SECOND,
      }
    },
  )
  return {
    told(channel, outcome, durationMs) {
      told.inc({ channel, outcome })
      if (outcome !== 'unsupported') seconds.observe(durationMs / MS_PER_SECOND)
    },
    requeued: (count) => requeued.inc(count),
    overdue: (count) => {
      overdue = count
    },
  }
}
