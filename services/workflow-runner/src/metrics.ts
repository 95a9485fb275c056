/** What the runner measures. */
import { counter, gauge, histogram } from '@baton/runtime'

/** Counters and histograms of batches, the reconciler and timers. */
export function createMetrics(read: { cachedRuns(): number; cachedBytes(): number; heldPartitions(): number }) {
  gauge('baton_runner_cached_runs', 'States of runs in memory', read.cachedRuns)
  gauge('baton_runner_cached_bytes', 'Bytes of states in memory, estimated', read.cachedBytes)
  gauge('baton_runner_partitions', 'Partitions that this runner holds', read.heldPartitions)
  return {
    facts: counter('baton_runner_facts_total', 'Facts taken in batches'),
    events: counter('baton_runner_events_total', 'Events committed'),
    snapshots: counter('baton_runner_snapshots_total', 'Snapshots of long runs that were written'),
    conflicts: counter('baton_runner_conflicts_total', 'Runs of a batch that had moved on and were decided again'),
    batchRuns: histogram('baton_runner_batch_runs', 'Runs in a batch', [], [1, 2, 5, 10, 25, 50, 100, 200, 400]),
    commitSeconds: histogram('baton_runner_commit_seconds', 'Time of the commit statement'),
    blobsCollected: counter('baton_blobs_collected_total', 'Payloads that nothing referred to, removed'),
    resent: counter('baton_reconciler_resent_total', 'Calls that were lost and sent again'),
    woken: counter('baton_reconciler_woken_total', 'Runs that nobody had been woken for'),
    timerLateSeconds: histogram('baton_timer_late_seconds', 'How late timers fire, by the clock of Postgres'),
  }
}
export type Metrics = ReturnType<typeof createMetrics>

/** Counts one batch of the hot path. */
export function observeBatch(metrics: Metrics, batch: { facts: number; runs: number; conflicts: number; events: number }): void {
  metrics.facts.inc(batch.facts)
  metrics.events.inc(batch.events)
  metrics.batchRuns.observe(batch.runs)
  if (batch.conflicts > 0) metrics.conflicts.inc(batch.conflicts)
}
