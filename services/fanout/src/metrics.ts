import { counter, gauge, histogram } from '@baton/runtime'
import type { CloseReason } from './connection.ts'
import type { SseCloseReason } from './serve-sse.ts'

/** What is counted of clients and events. */
export interface FanoutMetrics {
  delivered(count: number): void
  closed(reason: CloseReason): void
  sseClosed(reason: SseCloseReason): void
  /** Events of followed runs that the live stream did not bring, and that were read from Postgres. */
  fetched(count: number): void
  lag(ms: number): void
  readFailed(): void
}

const MS_PER_SECOND = 1_000

/** Metrics of this process; what is a level is read when somebody scrapes. */
export function createFanoutMetrics(read: {
  websockets(): number
  streams(): number
  subscriptions(): number
  runs(): number
}): FanoutMetrics {
  gauge('baton_websocket_clients', 'WebSocket clients', read.websockets)
  gauge('baton_sse_clients', 'Server-Sent Events clients', read.streams)
  gauge('baton_fanout_subscriptions', 'Subscriptions of WebSocket clients', read.subscriptions)
  gauge('baton_fanout_runs', 'Runs that somebody follows', read.runs)
  const delivered = counter('baton_fanout_events_total', 'Events handed to clients')
  const closed = counter('baton_fanout_closed_total', 'Clients that left, by transport and reason', ['transport', 'reason'])
  const fetched = counter('baton_fanout_fetched_total', 'Events that the live stream did not bring and Postgres did')
  const failed = counter('baton_fanout_read_failures_total', 'Reads of Postgres or Redis that failed')
  const lag = histogram('baton_fanout_lag_seconds', 'From the publishing of live events to their reading')
  return {
    delivered: (count) => delivered.inc(count),
    closed: (reason) => closed.inc({ transport: 'websocket', reason }),
    sseClosed: (reason) => closed.inc({ transport: 'sse', reason }),
    fetched: (count) => fetched.inc(count),
    lag: (ms) => lag.observe(ms / MS_PER_SECOND),
    readFailed: () => failed.inc(),
  }
}
