import type { Dashboard } from './grafana.ts'
import { level, rate, rateBy } from './queries.ts'

/** Who is waiting for whom? */
export const waiting: Dashboard = {
  uid: 'baton-waiting',
  title: 'who is waiting for whom',
  question:
    'Runs wait for people, for other services, for models and for time; requests and browsers wait for runs. How many of each, and for how long?',
  panels: [
    {
      title: 'Runs that wait',
      tells: 'Nothing of them is ready or running: they wait for people, or for time. They cost a row and nothing else.',
      shows: 'stat',
      unit: 'short',
      queries: [{ expr: level('baton_runs{status="waiting"}'), legend: 'runs' }],
    },
    {
      title: 'Oldest pending approval',
      tells:
        'The run has waited for people for so long. GET /api/v1/approvals?status=pending lists them; /why of its run says who can decide.',
      shows: 'stat',
      unit: 's',
      queries: [{ expr: level('baton_approvals_oldest_seconds'), legend: 'approval' }],
    },
    {
      title: 'Calls under way',
      tells: 'Runs wait for the services that these call.',
      shows: 'stat',
      unit: 'short',
      queries: [{ expr: 'sum(baton_http_calls_running)', legend: 'calls' }],
    },
    {
      title: 'Requests that wait for a run',
      tells: 'Callers who asked with ?wait=.',
      shows: 'stat',
      unit: 'short',
      queries: [{ expr: 'sum(baton_run_waiters)', legend: 'requests' }],
    },
    {
      title: 'Runs wait for people: pending approvals by whom they ask',
      tells: 'One that asks several counts for each of them. `user` and `group` stand for all people and groups: names are no labels.',
      shows: 'lines',
      unit: 'short',
      queries: [{ expr: level('baton_approvals_pending', 'assignee'), legend: '{{assignee}}' }],
    },
    {
      title: 'People decide',
      tells: 'Votes by outcome, and tries to tell people by channel.',
      shows: 'lines',
      unit: 'ops',
      queries: [
        { expr: rateBy('outcome', 'baton_approval_votes_total'), legend: 'votes: {{outcome}}' },
        { expr: rateBy('channel, outcome', 'baton_notifications_total'), legend: '{{channel}} {{outcome}}' },
      ],
    },
    {
      title: 'Runs wait for other services: calls by worker',
      tells:
        '`under way` waits for the service that is called, `for a slot` for the worker itself: then raise HTTP_WORKER_CONCURRENCY or add replicas.',
      shows: 'lines',
      unit: 'short',
      queries: [
        { expr: 'sum by (instance) (baton_http_calls_running)', legend: '{{instance}} under way' },
        { expr: 'sum by (instance) (baton_http_calls_waiting)', legend: '{{instance}} for a slot' },
        { expr: 'sum by (instance) (baton_http_answers_waiting)', legend: '{{instance}} for room for an answer' },
      ],
    },
    {
      title: 'Services call back',
      tells:
        'Callbacks by outcome. `repeated` and `late` were answered with 409 (the sender tried again, or the step had ended), `forged` with 401.',
      shows: 'lines',
      unit: 'ops',
      queries: [{ expr: rateBy('outcome', 'baton_callbacks_total'), legend: '{{outcome}}' }],
    },
    {
      title: 'Runs wait for a worker: calls that nobody has answered',
      tells: 'Entries of the stream, with those under way.',
      shows: 'lines',
      unit: 'short',
      queries: [{ expr: level('baton_stream_entries{stream="calls"}'), legend: 'entries' }],
    },
    {
      title: 'Runs wait for workers from outside: tasks',
      tells: '`open` waits for somebody to claim it, `claimed` is worked on. GET /api/v1/tasks?status=open lists what nobody takes.',
      shows: 'lines',
      unit: 'short',
      queries: [{ expr: level('baton_tasks', 'status'), legend: '{{status}}' }],
    },
    {
      title: 'How long the oldest open task waits',
      tells: 'It rises when no worker has the capabilities that are asked for, or all of them are busy.',
      shows: 'lines',
      unit: 's',
      queries: [{ expr: level('baton_tasks_oldest_seconds'), legend: 'task' }],
    },
    {
      title: 'Workers take, end and lose tasks',
      tells:
        'Calls by outcome: `held` are claims that came second, `claim-lost` calls of workers whose lease had run out. Leases that run out are workers that died or sent no progress.',
      shows: 'lines',
      unit: 'ops',
      queries: [
        { expr: rateBy('call, outcome', 'baton_task_calls_total'), legend: '{{call}} {{outcome}}' },
        { expr: `sum(${rate('baton_task_lease_expiries_total')})`, legend: 'leases ran out' },
      ],
    },
    {
      title: 'Runs wait for models',
      tells: 'Turns that wait for an agent-runner, are with a model, or are tried again later.',
      shows: 'lines',
      unit: 'short',
      queries: [{ expr: level('baton_jobs{queue="agent-turns"}', 'state'), legend: '{{state}}' }],
    },
    {
      title: 'Runs wait for time: timers that are set',
      tells: 'Waits, backoffs, deadlines and timeouts. 25 000 is so many or more.',
      shows: 'lines',
      unit: 'short',
      queries: [{ expr: level('baton_timers'), legend: 'timers' }],
    },
    {
      title: 'Runs wait for runners: facts, and who holds the partitions',
      tells: 'Each of the 16 partitions belongs to one runner.',
      shows: 'lines',
      unit: 'short',
      queries: [
        { expr: level('baton_stream_entries{stream="facts"}'), legend: 'entries of facts' },
        { expr: 'sum by (instance) (baton_runner_partitions)', legend: 'partitions of {{instance}}' },
      ],
    },
    {
      title: 'Browsers and programs follow runs',
      tells: 'Clients of fanout, what they subscribed to, and the runs that somebody follows.',
      shows: 'lines',
      unit: 'short',
      queries: [
        { expr: 'sum(baton_websocket_clients)', legend: 'WebSocket clients' },
        { expr: 'sum(baton_sse_clients)', legend: 'SSE clients' },
        { expr: 'sum(baton_fanout_subscriptions)', legend: 'subscriptions' },
        { expr: 'sum(baton_fanout_runs)', legend: 'runs followed' },
      ],
    },
    {
      title: 'Live events handed out',
      tells: 'Each event counts once for each client that gets it.',
      shows: 'lines',
      unit: 'ops',
      queries: [{ expr: `sum(${rate('baton_fanout_events_total')})`, legend: 'events' }],
    },
    {
      title: 'Clients that left',
      tells: '`too_slow` were cut because too much waited for them; they come back and go on where they were.',
      shows: 'lines',
      unit: 'ops',
      queries: [{ expr: rateBy('transport, reason', 'baton_fanout_closed_total'), legend: '{{transport}} {{reason}}' }],
    },
  ],
}
