import { askedGauges, counter, gauge, histogram } from '@baton/runtime'
import type { Backlog, OpenRuns, OpenTasks } from '@baton/store'
import type { readQueues, readRedisMemory, readStreams } from './read-levels.ts'

export type Metrics = ReturnType<typeof createMetrics>

/** What is asked of Postgres and of Redis when somebody scrapes. */
export interface Levels {
  waiters(): number
  openRuns(): Promise<OpenRuns>
  openTasks(): Promise<OpenTasks>
  backlog(): Promise<Backlog>
  streams(): ReturnType<typeof readStreams>
  queues(): ReturnType<typeof readQueues>
  redisMemory(): ReturnType<typeof readRedisMemory>
}

const MS_PER_SECOND = 1_000

/** The metrics of the orchestrator beside those of every service. Each replica tells the same levels: take their maximum, not their sum. */
export function createMetrics(read: Levels) {
  gauge('baton_run_waiters', 'Requests that wait for a run to end', read.waiters)
  observePostgres(read)
  observeTasks(read)
  observeRedis(read)
  return {
    runsStarted: counter('baton_runs_started_total', 'Runs that were started'),
    startGroupRuns: histogram(
      'baton_run_start_group_runs',
      'Runs that were started by one statement',
      [],
      [1, 2, 5, 10, 20, 50, 100, 200, 500],
    ),
    waitersRefused: counter('baton_run_waiters_refused_total', 'Requests that could not wait because too many did'),
    slots: counter('baton_schedule_slots_total', 'Slots of schedules by what became of them', ['outcome']),
    slotsLate: histogram('baton_schedule_late_seconds', 'How long after its slot a run of a schedule was started'),
    events: counter('baton_events_total', 'Events that were sent to be accepted, by outcome', ['outcome']),
    triggerFirings: counter('baton_trigger_firings_total', 'What became of events and deliveries at triggers', ['type', 'outcome']),
    callbacks: counter('baton_callbacks_total', 'Callbacks that were posted, by what became of them', ['outcome']),
    taskCalls: counter('baton_task_calls_total', 'Calls on tasks by what became of them', ['call', 'outcome']),
    votes: counter('baton_approval_votes_total', 'Votes on approvals by outcome', ['outcome']),
  }
}

function observePostgres(read: Levels): void {
  askedGauges(
    { baton_runs: { help: 'Runs that have not ended, by status; 25000 is so many or more', labelNames: ['status'] } },
    async () => ({ baton_runs: Object.entries(await read.openRuns()).map(([status, value]) => ({ labels: { status }, value })) }),
  )
  askedGauges(
    {
      baton_inbox_facts: { help: 'Accepted facts (decisions, commands, agent turns) that no runner has applied yet' },
      baton_inbox_oldest_seconds: { help: 'Age of the oldest accepted fact that no runner has applied yet' },
      baton_timers: { help: 'Timers that are set; 25000 is so many or more' },
      baton_timers_overdue_seconds: { help: 'For how long the timer that should have fired first is overdue' },
      baton_database_bytes: { help: 'Size of the database' },
    },
    async () => {
      const backlog = await read.backlog()
      return {
        baton_inbox_facts: backlog.inboxFacts,
        baton_inbox_oldest_seconds: backlog.inboxOldestMs / MS_PER_SECOND,
        baton_timers: backlog.timers,
        baton_timers_overdue_seconds: backlog.timersOverdueMs / MS_PER_SECOND,
        baton_database_bytes: backlog.databaseBytes,
      }
    },
  )
}

function observeTasks(read: Levels): void {
  askedGauges(
    {
      baton_tasks: { help: 'Tasks that nobody has ended, by status; 25000 is so many or more', labelNames: ['status'] },
      baton_tasks_oldest_seconds: { help: 'Age of the oldest task that nobody holds' },
    },
    async () => {
      const { open, claimed, oldestMs } = await read.openTasks()
      return {
        baton_tasks: Object.entries({ open, claimed }).map(([status, value]) => ({ labels: { status }, value })),
        baton_tasks_oldest_seconds: oldestMs / MS_PER_SECOND,
      }
    },
  )
}

function observeRedis(read: Levels): void {
  askedGauges(
    {
      baton_stream_entries: { help: 'Entries of the streams of facts, calls and live events', labelNames: ['stream'] },
      baton_stream_oldest_seconds: { help: 'Age of the oldest entry of the streams', labelNames: ['stream'] },
      baton_redis_memory_bytes: { help: 'Memory that Redis uses' },
      baton_redis_memory_max_bytes: { help: 'Memory that Redis may use; 0 is no bound' },
    },
    async () => {
      const [streams, memory] = await Promise.all([read.streams(), read.redisMemory()])
      return {
        baton_stream_entries: streams.map(({ stream, entries }) => ({ labels: { stream }, value: entries })),
        baton_stream_oldest_seconds: streams.map(({ stream, oldestMs }) => ({ labels: { stream }, value: oldestMs / MS_PER_SECOND })),
        baton_redis_memory_bytes: memory.usedBytes,
        baton_redis_memory_max_bytes: memory.maxBytes,
      }
    },
  )
  askedGauges(
    {
      baton_jobs: { help: 'Jobs of the queues of slow work, by state', labelNames: ['queue', 'state'] },
      baton_jobs_oldest_seconds: { help: 'Age of the job that waits longest to be taken', labelNames: ['queue'] },
    },
    async () => {
      const queues = await read.queues()
      return {
        baton_jobs: queues.flatMap(({ queue, jobs }) =>
          Object.entries(jobs).map(([state, value]) => ({ labels: { queue, state }, value })),
        ),
        baton_jobs_oldest_seconds: queues.map(({ queue, oldestMs }) => ({ labels: { queue }, value: oldestMs / MS_PER_SECOND })),
      }
    },
  )
}
