/** The client: one object with everything that the platform offers. */
import type { CloudEvent } from '@baton/contracts'
import { keyCalls, secretCalls, varCalls } from './administration.ts'
import { approvalCalls } from './approvals.ts'
import { createSend } from './http.ts'
import { runCalls } from './runs.ts'
import { taskCalls } from './tasks.ts'
import { eventCalls, scheduleCalls, triggerCalls } from './triggers.ts'
import type { WatchConnection, WatchOptions } from './watch-options.ts'
import { watchRun } from './watch-run.ts'
import { watchRunSse } from './watch-run-sse.ts'
import { workflowCalls } from './workflows.ts'

/** How to reach Baton. */
export interface ClientOptions {
  /** Of the orchestrator, such as `http://localhost:8081`. */
  url: string
  /** Of fanout; by default the port four above that of `url` (8081 → 8085), or `url` itself when it names no port. */
  fanoutUrl?: string
  /** API key. */
  key: string
  /** Another namespace than that of the key; admin keys only. */
  namespace?: string
  /** Further tries of reads and of starts after a network error, 429 or 503; default 4. */
  retries?: number
  /** For each try; default 30 000. */
  timeoutMs?: number
  fetch?: typeof fetch
  WebSocket?: typeof WebSocket
}

/** Everything that a key may do. */
export type BatonClient = ReturnType<typeof createClient>

/** Makes a client; it holds no connection until it is asked for something, and needs no closing. */
export function createClient(options: ClientOptions) {
  const url = options.url.replace(/\/+$/, '')
  const { key, namespace } = options
  const fetchOf = options.fetch ?? globalThis.fetch
  const send = createSend({ url, key, namespace, fetch: fetchOf, retries: options.retries ?? 4, timeoutMs: options.timeoutMs ?? 30_000 })
  const connection: WatchConnection = {
    fanoutUrl: (options.fanoutUrl ?? fanoutUrlOf(url)).replace(/\/+$/, ''),
    key,
    namespace,
    fetch: fetchOf,
    WebSocket: options.WebSocket,
  }
  return {
    workflows: workflowCalls(send),
    runs: runCalls(send),
    approvals: approvalCalls(send),
    tasks: taskCalls(send),
    schedules: scheduleCalls(send),
    triggers: triggerCalls(send),
    events: eventCalls(send),
    keys: keyCalls(send),
    secrets: secretCalls(send),
    vars: varCalls(send),
    /** The run's events over WebSocket, each once and in order, until it has ended; resumes by itself after every cut. */
    watchRun(id: string, watch: WatchOptions = {}): AsyncGenerator<CloudEvent, void, undefined> {
      return watchRun(connection, id, watch)
    },
    /** The same over Server-Sent Events. */
    watchRunSse(id: string, watch: Omit<WatchOptions, 'follow'> = {}): AsyncGenerator<CloudEvent, void, undefined> {
      return watchRunSse(connection, id, watch)
    },
  }
}

/** Ports of one stack lie side by side, also when all of them are moved. */
function fanoutUrlOf(url: string): string {
  const fanout = new URL(url)
  if (fanout.port !== '') fanout.port = String(Number(fanout.port) + 4)
  return fanout.href
}
