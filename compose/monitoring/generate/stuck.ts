import type { Dashboard } from './grafana.ts'
import { level, rate, rateBy } from './queries.ts'

/** What is stuck? */
export const stuck: Dashboard = {
  uid: 'baton-stuck',
  title: 'what is stuck',
  question: 'What has been accepted and does not move, where does it stand, and is it found again?',
  panels: [
    {
      title: 'Oldest fact',
      tells:
        'Facts tell runners what has happened. Above some seconds no runner takes them: see the partitions, and the log of workflow-runner.',
      shows: 'stat',
      unit: 's',
      badFrom: 30,
      queries: [{ expr: level('baton_stream_oldest_seconds{stream="facts"}'), legend: 'facts' }],
    },
    {
      title: 'Oldest call',
      tells:
        'A call stands in its stream until its result is there: as old as the slowest call is fine, older is not. Add replicas of http-worker.',
      shows: 'stat',
      unit: 's',
      badFrom: 60,
      queries: [{ expr: level('baton_stream_oldest_seconds{stream="calls"}'), legend: 'calls' }],
    },
    {
      title: 'Oldest decision or command',
      tells: 'What people and agents were told is accepted and no runner has applied. Above some seconds: no runner gets at the run.',
      shows: 'stat',
      unit: 's',
      badFrom: 30,
      queries: [{ expr: level('baton_inbox_oldest_seconds'), legend: 'inbox' }],
    },
    {
      title: 'Overdue timer',
      tells:
        'For how long the first timer should have fired. Above some seconds: no runner holds its partition, or its run cannot be advanced.',
      shows: 'stat',
      unit: 's',
      badFrom: 30,
      queries: [{ expr: level('baton_timers_overdue_seconds'), legend: 'timers' }],
    },
    {
      title: 'Age of the oldest',
      tells: 'The same over time, with the jobs of the slow queues. A line that climbs without end is something stuck.',
      shows: 'lines',
      unit: 's',
      queries: [
        { expr: level('baton_stream_oldest_seconds{stream!="events"}', 'stream'), legend: '{{stream}}' },
        { expr: level('baton_jobs_oldest_seconds', 'queue'), legend: '{{queue}}' },
        { expr: level('baton_inbox_oldest_seconds'), legend: 'decisions and commands' },
        { expr: level('baton_timers_overdue_seconds'), legend: 'timers' },
      ],
    },
    {
      title: 'How much waits',
      tells:
        'Entries of the streams (an entry of calls holds up to 32), jobs that wait, accepted facts. Growing: more comes in than goes out.',
      shows: 'lines',
      unit: 'short',
      queries: [
        { expr: level('baton_stream_entries{stream!="events"}', 'stream'), legend: '{{stream}}' },
        { expr: level('baton_jobs', 'queue, state'), legend: '{{queue}} {{state}}' },
        { expr: level('baton_inbox_facts'), legend: 'decisions and commands' },
      ],
    },
    {
      title: 'Found by the reconciler',
      tells:
        'Runs that nobody was woken for, and calls that were lost. Some after a crash or a loss of Redis are its purpose; some all the time are a defect.',
      shows: 'lines',
      unit: 'ops',
      queries: [
        { expr: `sum(${rate('baton_reconciler_woken_total')})`, legend: 'runs woken' },
        { expr: `sum(${rate('baton_reconciler_resent_total')})`, legend: 'calls sent again' },
        { expr: `sum(${rate('baton_notifications_requeued_total')})`, legend: 'notifications queued again' },
        { expr: `sum(${rate('baton_fanout_fetched_total')})`, legend: 'live events fetched' },
      ],
    },
    {
      title: 'What failed inside',
      tells:
        'Commits that failed, facts that Redis did not take, reads of fanout. All of it is tried again; all the time means Postgres or Redis are not well.',
      shows: 'lines',
      unit: 'ops',
      queries: [
        { expr: `sum(${rate('baton_runner_commit_failures_total')})`, legend: 'commits' },
        { expr: `sum(${rate('baton_facts_failed_total')})`, legend: 'facts' },
        { expr: `sum(${rate('baton_fanout_read_failures_total')})`, legend: 'reads of fanout' },
        { expr: `sum(${rate('baton_log_lines_lost_total')})`, legend: 'log lines lost' },
      ],
    },
    {
      title: 'Runs decided twice',
      tells: 'Two runners wanted the same run, and the commit chose one. Harmless; often means that partitions change hands.',
      shows: 'lines',
      unit: 'ops',
      queries: [{ expr: `sum(${rate('baton_runner_conflicts_total')})`, legend: 'conflicts' }],
    },
    {
      title: 'Approvals past their deadline',
      tells: 'Their timer should have decided them. Above 0 for longer: see the overdue timer.',
      shows: 'lines',
      unit: 'short',
      queries: [{ expr: level('baton_approvals_overdue'), legend: 'approvals' }],
    },
    {
      title: 'Calls taken over or handed back',
      tells: 'Taken over from workers that fell silent, given back by those that stopped in order.',
      shows: 'lines',
      unit: 'ops',
      queries: [
        { expr: `sum(${rate('baton_http_entries_taken_over_total')})`, legend: 'entries taken over' },
        { expr: `sum(${rate('baton_http_calls_handed_back_total')})`, legend: 'calls handed back' },
      ],
    },
    {
      title: 'Jobs by outcome',
      tells: '`retried` will be tried again, `failed` was given up.',
      shows: 'lines',
      unit: 'ops',
      queries: [{ expr: rateBy('queue, outcome', 'baton_jobs_finished_total'), legend: '{{queue}} {{outcome}}' }],
    },
    {
      title: 'Memory of Redis',
      tells: 'At its bound Redis refuses everything, and runs stand still until it is raised or the streams are shorter.',
      shows: 'lines',
      unit: 'bytes',
      queries: [
        { expr: level('baton_redis_memory_bytes'), legend: 'used' },
        { expr: level('baton_redis_memory_max_bytes'), legend: 'bound (0: none)' },
      ],
    },
    {
      title: 'Size of the database',
      tells: 'Events of ended runs make most of it. Keep room for a day of growth.',
      shows: 'lines',
      unit: 'bytes',
      queries: [{ expr: level('baton_database_bytes'), legend: 'database' }],
    },
    {
      title: 'Old runs go',
      tells:
        'Runs a second that were older than their retention, and rounds that failed: then nothing is removed, and the log of workflow-runner says why.',
      shows: 'lines',
      unit: 'short',
      queries: [
        { expr: `sum(${rate('baton_runs_removed_total')})`, legend: 'removed' },
        { expr: `sum(${rate('baton_retention_failures_total')})`, legend: 'failed rounds' },
      ],
    },
    {
      title: 'Runs are exported before they go',
      tells: 'Bytes a second that are written to BATON_EXPORT_FOLDER.',
      shows: 'lines',
      unit: 'Bps',
      queries: [{ expr: `sum(${rate('baton_export_bytes_total')})`, legend: 'exported' }],
    },
  ],
}
