import { counter, gauge, histogram } from '@baton/runtime'

/** Calls that were made, by outcome: succeeded, or the error's code. */
export const callsEnded = counter('baton_http_calls_total', 'Calls that were answered to the runner', ['outcome'])
/** From the first byte sent to the result. */
export const callSeconds = histogram('baton_http_call_seconds', 'Time that calls took')
/** Calls that were not made: nobody wants them any more, another worker makes them, or this one does already. */
export const callsDropped = counter('baton_http_calls_dropped_total', 'Calls that were not made', ['reason'])
/** Entries taken over from a worker that went silent, or that this one has succeeded. */
export const entriesTakenOver = counter(
  'baton_http_entries_taken_over_total',
  'Entries taken over from silent workers, and from earlier lives of this one',
)
/** Calls given back to the stream at shutdown. */
export const callsHandedBack = counter('baton_http_calls_handed_back_total', 'Calls given back at shutdown')
/** Outputs over 64 KiB. */
export const blobsStored = counter('baton_http_blobs_stored_total', 'Outputs stored as blobs')

/** Requests to the token URLs of steps with `auth.oauth2`. */
export const tokensAsked = counter('baton_oauth2_tokens_total', 'Access tokens that were asked for', ['outcome'])

/** Calls that could not be made at once because of their host. */
export const callsDelayed = counter('baton_http_calls_delayed_total', 'Calls that waited for their host', ['why'])
/** Changes of state of the circuit breakers of this worker. */
export const breakerChanges = counter('baton_http_breaker_changes_total', 'Circuit breakers that opened, probed or closed', ['to'])
/** Times that Redis could not be asked. */
export const ratesKeptAlone = counter(
  'baton_http_rates_kept_alone_total',
  'Times that a rate limit was kept without Redis, by this worker alone',
)

/** What is in hand right now. */
export function observeHeld(held: { running(): number; waiting(): number }): void {
  gauge('baton_http_calls_running', 'Calls under way', held.running)
  gauge('baton_http_calls_waiting', 'Calls read and waiting for a slot', held.waiting)
}

/** Calls that wait for their host, in no slot unless the room is full. */
export function observeHosts(breakers: { open(): number; waiting(): number } | undefined, waitingForRate: () => number): void {
  gauge('baton_http_breakers_open', 'Circuit breakers that are open or probing', () => breakers?.open() ?? 0)
  gauge('baton_http_calls_waiting_breaker', 'Calls that wait for the circuit breaker of their host', () => breakers?.waiting() ?? 0)
  gauge('baton_http_calls_waiting_rate', 'Calls that wait for the rate limit of their host', waitingForRate)
}

/** Answers that are read and made into outputs right now. */
export function observeAnswers(room: { taken(): number; waiting(): number }): void {
  gauge('baton_http_answer_bytes', 'Bytes of answers under way over 64 KiB each', room.taken)
  gauge('baton_http_answers_waiting', 'Answers that wait for room (HTTP_WORKER_ANSWER_BYTES_MAX)', room.waiting)
}
