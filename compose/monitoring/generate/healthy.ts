import type { Dashboard } from './grafana.ts'
import { level, OF_USERS, quantile, rate, rateBy, share } from './queries.ts'

/** Is it healthy? */
export const healthy: Dashboard = {
  uid: 'baton-healthy',
  title: 'is it healthy',
  question: 'Is everything there, does it keep up, and does what users asked for succeed?',
  panels: [
    {
      title: 'Replicas that answer',
      tells: 'Each service should have at least one. None: see its log, and the alert BatonServiceDown.',
      shows: 'stat',
      unit: 'short',
      badBelow: 1,
      queries: [{ expr: 'sum by (job) (up{job!="prometheus"})', legend: '{{job}}' }],
    },
    {
      title: 'Postgres and Redis, as the services see them',
      tells: '1 is there, 0 is away for at least one replica. Redis is also 0 when its maxmemory-policy is not noeviction.',
      shows: 'stat',
      unit: 'short',
      badBelow: 1,
      queries: [{ expr: 'min by (dependency) (baton_dependency_up)', legend: '{{dependency}}' }],
    },
    {
      title: 'Alerts that fire',
      tells: 'Each says in one sentence what to do.',
      shows: 'stat',
      unit: 'short',
      badFrom: 1,
      queries: [{ expr: 'count(ALERTS{alertstate="firing"}) or vector(0)', legend: 'alerts' }],
    },
    {
      title: 'Partitions that nobody holds',
      tells:
        'Runs are spread over 16 partitions; those of a partition that no runner holds stand still. Above 0 for more than some seconds: start a runner.',
      shows: 'stat',
      unit: 'short',
      badFrom: 1,
      queries: [{ expr: '16 - sum(baton_runner_partitions)', legend: 'partitions' }],
    },
    {
      title: 'Runs started and ended',
      tells: 'Both lines should lie on each other, save for runs that wait.',
      shows: 'lines',
      unit: 'ops',
      queries: [
        { expr: `sum(${rate('baton_runs_started_total')})`, legend: 'started' },
        { expr: rateBy('outcome', 'baton_run_seconds_count'), legend: '{{outcome}}' },
      ],
    },
    {
      title: 'Runs that have not ended',
      tells: 'Queued runs that grow in number: the runners do not keep up. Waiting ones cost nothing. 25 000 is so many or more.',
      shows: 'lines',
      unit: 'short',
      queries: [{ expr: level('baton_runs', 'status'), legend: '{{status}}' }],
    },
    {
      title: 'Share of failures',
      tells:
        'Of requests to the API that ended with 5xx, of http calls, of agent turns, of notifications. Which errors they were is on the next panel.',
      shows: 'lines',
      unit: 'percentunit',
      queries: [
        {
          expr: share(`baton_http_request_seconds_count{${OF_USERS}, status=~"5.."}`, `baton_http_request_seconds_count{${OF_USERS}}`),
          legend: 'requests',
        },
        { expr: share('baton_http_calls_total{outcome!="succeeded"}', 'baton_http_calls_total'), legend: 'http calls' },
        { expr: share('baton_agent_turns_total{outcome!="succeeded"}', 'baton_agent_turns_total'), legend: 'agent turns' },
        { expr: share('baton_notifications_total{outcome!="delivered"}', 'baton_notifications_total'), legend: 'notifications' },
      ],
    },
    {
      title: 'Outcomes of http calls',
      tells: 'The error codes of failed calls; docs/errors.md explains each.',
      shows: 'lines',
      unit: 'ops',
      queries: [{ expr: rateBy('outcome', 'baton_http_calls_total'), legend: '{{outcome}}' }],
    },
    {
      title: 'CPU',
      tells: 'Cores in use by a service, all its replicas together. A service runs on one core each: near its replicas, add some.',
      shows: 'lines',
      unit: 'short',
      queries: [{ expr: rateBy('job', 'process_cpu_seconds_total'), legend: '{{job}}' }],
    },
    {
      title: 'Memory',
      tells: 'Resident memory of the largest replica of a service. It should stay below half of its limit.',
      shows: 'lines',
      unit: 'bytes',
      queries: [{ expr: level('process_resident_memory_bytes', 'job'), legend: '{{job}}' }],
    },
    {
      title: 'Late event loop',
      tells: 'How late a replica gets to its work (99 %). Above some 100 ms it has more to do than one core can.',
      shows: 'lines',
      unit: 's',
      queries: [{ expr: level('nodejs_eventloop_lag_p99_seconds', 'job'), legend: '{{job}}' }],
    },
    {
      title: 'Restarts and versions',
      tells: 'How often processes started within the last quarter of an hour, and how many replicas run which version.',
      shows: 'lines',
      unit: 'short',
      queries: [
        { expr: 'sum by (job) (changes(process_start_time_seconds[15m]))', legend: 'restarts of {{job}}' },
        { expr: 'count by (version) (baton_build_info)', legend: 'replicas of {{version}}' },
      ],
    },
    {
      title: 'Requests to the API',
      tells: 'By status. 4xx are mistakes of callers, 5xx are ours or those of Postgres and Redis.',
      shows: 'lines',
      unit: 'reqps',
      queries: [{ expr: rateBy('status', `baton_http_request_seconds_count{${OF_USERS}}`), legend: '{{status}}' }],
    },
    {
      title: 'Time to answer the API (99 %)',
      tells: 'Over all routes; by route on the next dashboard. Requests with ?wait= take as long as the run, and count too.',
      shows: 'lines',
      unit: 's',
      queries: [{ expr: quantile(0.99, 'baton_http_request_seconds', 'job', `{${OF_USERS}}`), legend: '{{job}}' }],
    },
    {
      title: 'Connections of Postgres and Redis',
      tells: 'Open ones, and how many each allows. From the exporters of the profile `monitoring`; without them this panel is empty.',
      shows: 'lines',
      unit: 'short',
      queries: [
        { expr: 'sum(pg_stat_database_numbackends)', legend: 'Postgres' },
        { expr: level('pg_settings_max_connections'), legend: 'Postgres allows' },
        { expr: level('redis_connected_clients'), legend: 'Redis' },
      ],
    },
    {
      title: 'Work of Redis',
      tells: 'Commands a second, from its exporter. Idle services ask some tens of times a second.',
      shows: 'lines',
      unit: 'ops',
      queries: [{ expr: `sum(${rate('redis_commands_processed_total')})`, legend: 'commands' }],
    },
  ],
}
