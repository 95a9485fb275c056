import { counter, gauge, histogram } from '@baton/runtime'

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

/** Metrics of this process. */
export function createNotifyMetrics(): NotifyMetrics {
  const told = counter('baton_notifications_total', 'Tries to tell a channel of an approval, by outcome', ['channel', 'outcome'])
  const seconds = histogram('baton_notification_seconds', 'How long receivers took to answer')
  const requeued = counter('baton_notifications_requeued_total', 'Approvals whose notification had to be queued again')
  let overdue = 0
  gauge('baton_approvals_overdue', 'Pending approvals past their deadline', () => overdue)
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
