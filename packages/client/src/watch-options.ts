/** What both ways of watching a run share. */
import type { CloudEvent } from '@baton/contracts'
import { BatonProblem } from './problem.ts'

/** How to watch a run. */
export interface WatchOptions {
  /** Events with seq > after; 0 (default) = from the run's first. */
  after?: number
  /** Goes on after the end of the run (it may be reopened) until `signal` is aborted. WebSocket only. */
  follow?: boolean
  /** Gives up with BatonUnreachable after this long without a connection; default 60 000. */
  giveUpMs?: number
  signal?: AbortSignal
}

/** Where fanout is, and who asks. */
export interface WatchConnection {
  fanoutUrl: string
  key: string
  namespace?: string | undefined
  fetch: typeof fetch
  /** Instead of the `ws` package (Node) or the global one (browsers); takes (url, protocols). */
  WebSocket?: typeof WebSocket | undefined
}

const RUN_ENDS = new Set(['succeeded', 'failed', 'cancelled', 'timed_out'].map((status) => `dev.baton.run.${status}`))

/** True when the event ends its run. */
export function isRunEnd(event: CloudEvent): boolean {
  return RUN_ENDS.has(event.type)
}

/** Waits between reconnects grow from nothing to this. */
export const RECONNECT_MS_MAX = 5_000
export const RECONNECT_MS = 100
export const GIVE_UP_MS = 60_000

const FRAME_PROBLEMS: Record<string, { code: string; status: number; title: string }> = {
  not_found: { code: 'BTN_RUN_NOT_FOUND', status: 404, title: 'No such run in this namespace' },
  forbidden: { code: 'BTN_FORBIDDEN', status: 403, title: 'The credential is known but not allowed to do this' },
  bad_after: { code: 'BTN_INVALID_REQUEST', status: 422, title: '`after` is beyond the last event' },
  gone: { code: 'BTN_RUN_NOT_FOUND', status: 404, title: 'The events were dropped by retention' },
}

/** The problem that an `error` frame tells of. */
export function problemOfFrame(frame: { code: string; message: string }): BatonProblem {
  const known = FRAME_PROBLEMS[frame.code] ?? { code: frame.code, status: 400, title: frame.code }
  return new BatonProblem({ ...known, detail: frame.message })
}
