/** What the runner measures. */
import type { EventType, StoredEvent } from '@baton/contracts'
import type { RunState } from '@baton/engine'
import { counter, gauge, histogram } from '@baton/runtime'

/** Seconds: steps and runs take a millisecond, or wait for people for days. */
const DURATIONS = [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600, 3_600, 86_400]
const MS_PER_SECOND = 1_000

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
    batchEvents: histogram(
      'baton_runner_batch_events',
      'Events committed by a batch',
      [],
      [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000],
    ),
    commitSeconds: histogram('baton_runner_commit_seconds', 'Time of the commit statement'),
    commitFailures: counter('baton_runner_commit_failures_total', 'Commits that failed as a whole, or whose outcome is unknown'),
    stepSeconds: histogram(
      'baton_step_seconds',
      'From the scheduling of the last attempt of a step to its end, by kind and outcome',
      ['kind', 'outcome'],
      DURATIONS,
    ),
    runSeconds: histogram('baton_run_seconds', 'From the creation of a run to its end, by outcome', ['outcome'], DURATIONS),
    runsRemoved: counter('baton_runs_removed_total', 'Ended runs that were older than their retention, removed'),
    exportedBytes: counter('baton_export_bytes_total', 'Bytes of runs that were written to files before they were removed'),
    retentionFailures: counter(
      'baton_retention_failures_total',
      'Rounds of retention that failed; nothing that is not exported was removed',
    ),
    blobsCollected: counter('baton_blobs_collected_total', 'Payloads that nothing referred to, removed'),
    resent: counter('baton_reconciler_resent_total', 'Calls that were lost and sent again'),
    woken: counter('baton_reconciler_woken_total', 'Runs that nobody had been woken for'),
    leaseExpiries: counter('baton_task_lease_expiries_total', 'Tasks that were put back because who held them fell silent'),
    timerLateSeconds: histogram('baton_timer_late_seconds', 'How late timers fire, by the clock of Postgres'),
  }
}
export type Metrics = ReturnType<typeof createMetrics>

/** Counts one batch of the hot path. */
export function observeBatch(metrics: Metrics, batch: { facts: number; runs: number; conflicts: number; events: number }): void {
  metrics.facts.inc(batch.facts)
  metrics.events.inc(batch.events)
  metrics.batchRuns.observe(batch.runs)
  metrics.batchEvents.observe(batch.events)
  if (batch.conflicts > 0) metrics.conflicts.inc(batch.conflicts)
}

/** Events that end a step or a run, and their outcome. A step that was skipped took no time. */
const ENDS: ReadonlyMap<EventType, { of: 'step' | 'run'; outcome: string }> = new Map([
  ['step.succeeded', { of: 'step', outcome: 'succeeded' }],
  ['step.failed', { of: 'step', outcome: 'failed' }],
  ['step.cancelled', { of: 'step', outcome: 'cancelled' }],
  ['run.succeeded', { of: 'run', outcome: 'succeeded' }],
  ['run.failed', { of: 'run', outcome: 'failed' }],
  ['run.cancelled', { of: 'run', outcome: 'cancelled' }],
  ['run.timed_out', { of: 'run', outcome: 'timed_out' }],
])

/** One observation for each step that these events have ended, and one for the run when it is over. */
export function observeEnded(metrics: Metrics, state: RunState, events: readonly StoredEvent[]): void {
  for (const event of events) {
    const end = ENDS.get(event.type)
    if (end?.of === 'step') observeStep(metrics, state, event, end.outcome)
    else if (end) metrics.runSeconds.observe({ outcome: end.outcome }, (event.at - state.header.createdAt) / MS_PER_SECOND)
  }
}

function observeStep(metrics: Metrics, state: RunState, event: StoredEvent, outcome: string): void {
  const step = state.steps.get(event.path)
  if (!step || step.scheduledAt === null) return // cancelled before its turn, or of a run that cannot be read
  metrics.stepSeconds.observe({ kind: step.step.kind, outcome }, Math.max(0, event.at - step.scheduledAt) / MS_PER_SECOND)
}
