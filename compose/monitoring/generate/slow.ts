import type { Dashboard } from './grafana.ts'
import { level, medianAndTail, OF_USERS, quantile, rate, rateBy } from './queries.ts'

/** What is slow? */
export const slow: Dashboard = {
  uid: 'baton-slow',
  title: 'what is slow',
  question: 'Where does the time go: in the services that are called, in a queue, in Postgres, or in waiting for people?',
  panels: [
    {
      title: 'Steps by kind, half are faster',
      tells: 'From the scheduling of the last attempt to the end. Approvals and waits take as long as people and the definition want.',
      shows: 'lines',
      unit: 's',
      queries: [{ expr: quantile(0.5, 'baton_step_seconds', 'kind, outcome'), legend: '{{kind}} {{outcome}}' }],
    },
    {
      title: 'Steps by kind, 99 % are faster',
      tells: 'The slowest of each kind. Compare http with the panel of the calls themselves: the difference is ours.',
      shows: 'lines',
      unit: 's',
      queries: [{ expr: quantile(0.99, 'baton_step_seconds', 'kind, outcome'), legend: '{{kind}} {{outcome}}' }],
    },
    {
      title: 'Calls to other services',
      tells: 'From the first byte sent to the result: what the services that you call need.',
      shows: 'lines',
      unit: 's',
      queries: medianAndTail('baton_http_call_seconds'),
    },
    {
      title: 'Model turns',
      tells: 'How long models take to answer.',
      shows: 'lines',
      unit: 's',
      queries: medianAndTail('baton_agent_turn_seconds'),
    },
    {
      title: 'Whole runs (99 %)',
      tells: 'From creation to end, with everything they waited for.',
      shows: 'lines',
      unit: 's',
      queries: [{ expr: quantile(0.99, 'baton_run_seconds', 'outcome'), legend: '{{outcome}}' }],
    },
    {
      title: 'Commits',
      tells: 'One statement for a batch. Above some 10 ms: see the disk and the CPU of Postgres.',
      shows: 'lines',
      unit: 's',
      queries: medianAndTail('baton_runner_commit_seconds'),
    },
    {
      title: 'Size of commits',
      tells: 'Runs and events in a batch. The busier, the larger: that is what makes it fast.',
      shows: 'lines',
      unit: 'short',
      queries: [
        { expr: `sum(${rate('baton_runner_batch_runs_sum')}) / sum(${rate('baton_runner_batch_runs_count')})`, legend: 'runs' },
        { expr: `sum(${rate('baton_runner_batch_events_sum')}) / sum(${rate('baton_runner_batch_events_count')})`, legend: 'events' },
      ],
    },
    {
      title: 'Commits and events a second',
      tells: 'How much is written. A step is about two events.',
      shows: 'lines',
      unit: 'ops',
      queries: [
        { expr: `sum(${rate('baton_runner_commit_seconds_count')})`, legend: 'commits' },
        { expr: `sum(${rate('baton_runner_events_total')})`, legend: 'events' },
        { expr: `sum(${rate('baton_runner_facts_total')})`, legend: 'facts' },
      ],
    },
    {
      title: 'API by route (99 %)',
      tells: 'Requests with ?wait= take as long as the run.',
      shows: 'lines',
      unit: 's',
      queries: [{ expr: quantile(0.99, 'baton_http_request_seconds', 'method, route', `{${OF_USERS}}`), legend: '{{method}} {{route}}' }],
    },
    {
      title: 'Postgres and Redis answer the services within',
      tells:
        'One small question each, asked by every service when it is scraped; the slowest answer. Far above 10 ms: the network, or a server that is overloaded.',
      shows: 'lines',
      unit: 's',
      queries: [{ expr: level('baton_dependency_answer_seconds', 'dependency'), legend: '{{dependency}}' }],
    },
    {
      title: 'Timers fire late by',
      tells: 'Against the clock of Postgres. Above a second: the runners have too much to do, or none holds the partition.',
      shows: 'lines',
      unit: 's',
      queries: medianAndTail('baton_timer_late_seconds'),
    },
    {
      title: 'Live events are late by',
      tells: 'From publishing to reading by fanout, by the clocks of two machines.',
      shows: 'lines',
      unit: 's',
      queries: medianAndTail('baton_fanout_lag_seconds'),
    },
    {
      title: 'Jobs of the slow queues',
      tells: 'Agent turns and notifications, from being taken to their end (99 %).',
      shows: 'lines',
      unit: 's',
      queries: [{ expr: quantile(0.99, 'baton_job_seconds', 'queue'), legend: '{{queue}}' }],
    },
    {
      title: 'Receivers of notifications answer within',
      tells: 'Webhooks and Slack.',
      shows: 'lines',
      unit: 's',
      queries: medianAndTail('baton_notification_seconds'),
    },
    {
      title: 'Starts share a statement',
      tells: 'Runs that were started by one insert. More than one when many start in the same moment.',
      shows: 'lines',
      unit: 'short',
      queries: [
        { expr: `sum(${rate('baton_run_start_group_runs_sum')}) / sum(${rate('baton_run_start_group_runs_count')})`, legend: 'runs' },
      ],
    },
    {
      title: 'Garbage collection',
      tells: 'Share of the time that a service spends on it. Above 10 %: give it more memory.',
      shows: 'lines',
      unit: 'percentunit',
      queries: [{ expr: rateBy('job', 'nodejs_gc_duration_seconds_sum'), legend: '{{job}}' }],
    },
    {
      title: 'Postgres finds in its memory',
      tells: 'Share of the pages that need not be read from disk, from its exporter. Below 99 % for long: give it more shared_buffers.',
      shows: 'lines',
      unit: 'percentunit',
      queries: [
        {
          expr: `sum(${rate('pg_stat_database_blks_hit')}) / (sum(${rate('pg_stat_database_blks_hit')}) + sum(${rate('pg_stat_database_blks_read')}) > 0)`,
          legend: 'in memory',
        },
      ],
    },
    {
      title: 'Longest transaction of Postgres',
      tells: 'While one is open nothing is tidied that it could still see, and tables grow. Minutes are too long. From its exporter.',
      shows: 'lines',
      unit: 's',
      queries: [{ expr: level('pg_stat_activity_max_tx_duration', 'datname'), legend: '{{datname}}' }],
    },
  ],
}
