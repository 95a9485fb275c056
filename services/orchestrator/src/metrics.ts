import { counter, gauge, histogram } from '@baton/runtime'

export type Metrics = ReturnType<typeof createMetrics>

/** The metrics of the orchestrator beside those of every service. */
export function createMetrics(read: { waiters: () => number }) {
  gauge('baton_run_waiters', 'Requests that wait for a run to end', read.waiters)
  return {
    runsStarted: counter('baton_runs_started_total', 'Runs that were started'),
    startGroupRuns: histogram(
      'baton_run_start_group_runs',
      'Runs that were started by one statement',
      [],
      [1, 2, 5, 10, 20, 50, 100, 200, 500],
    ),
    waitersRefused: counter('baton_run_waiters_refused_total', 'Requests that could not wait because too many did'),
    votes: counter('baton_approval_votes_total', 'Votes on approvals by outcome', ['outcome']),
  }
}
