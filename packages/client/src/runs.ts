/** Runs: starting them, looking at them, moving them. */
import type {
  Approval,
  BulkAnswer,
  CloudEvent,
  DecisionBody,
  ForkBody,
  Graph,
  Json,
  PatchOperation,
  ReplayBody,
  Run,
  RunDefinition,
  RunStatus,
  StartRun,
  Step,
  Why,
} from '@baton/contracts'
import type { CallOptions, HttpRequest, Send } from './http.ts'
import { readPages } from './pages.ts'
import { BatonWaitTimeout } from './problem.ts'

/** What to start; without version and tag it is the tag `live`, else the highest version. */
export interface StartOptions extends StartRun, CallOptions {
  /** Starting again under the same key gives the first run. The client makes one itself, so that it may try again after a cut. */
  idempotencyKey?: string
  /** Answers at the end of the run or when this time (at most 60 000 ms) is up. */
  waitMs?: number
}

export interface StartItem {
  input?: Json
  labels?: Record<string, string>
  idempotencyKey?: string
}

/** Which runs; all of it must hold. `label`: `key:value`. `since` and `until`: RFC 3339. */
export interface RunQuery {
  workflow?: string
  status?: RunStatus | readonly RunStatus[]
  label?: string | readonly string[]
  since?: string
  until?: string
}

/** A call in bulk: the newest `limit` runs (default 100) that match; without a status those that failed, were cancelled or timed out. */
export interface BulkOptions extends CallOptions {
  filter: RunQuery
  limit?: number
}

const ENDED: readonly string[] = ['succeeded', 'failed', 'cancelled', 'timed_out']
const WAIT_MS_MAX = 60_000

/** Calls on runs. */
export function runCalls(send: Send) {
  const get = <T>(id: string, rest: string, options: CallOptions, more: Partial<HttpRequest> = {}): Promise<T> =>
    send({ method: 'GET', path: `${pathOf(id)}${rest}`, ...more, ...signalOf(options) })
  const move = (id: string, verb: string, options: CallOptions): Promise<Run> =>
    send({ method: 'POST', path: `${pathOf(id)}/${verb}`, ...signalOf(options) })

  return {
    /** Starts a run; it is durable when this resolves. */
    start(workflow: string, options: StartOptions = {}): Promise<Run> {
      const { signal, idempotencyKey = crypto.randomUUID(), waitMs, ...body } = options
      return send({
        method: 'POST',
        path: `/api/v1/workflows/${encodeURIComponent(workflow)}/runs`,
        query: waitQuery(waitMs),
        headers: { 'idempotency-key': idempotencyKey },
        body,
        repeatable: true,
        ...(waitMs === undefined ? {} : { waitMs }),
        ...signalOf({ signal }),
      })
    },
    /** Starts up to 1 000 runs at once: all of them or, when one is invalid, none. In order. */
    async startBatch(workflow: string, items: readonly StartItem[], options: CallOptions = {}): Promise<Run[]> {
      const keyed = items.map((item) => ({ ...item, idempotencyKey: item.idempotencyKey ?? crypto.randomUUID() }))
      const path = `/api/v1/workflows/${encodeURIComponent(workflow)}/runs/batch`
      const answer = await send<{ items: Run[] }>({ method: 'POST', path, body: { items: keyed }, repeatable: true, ...signalOf(options) })
      return answer.items
    },
    get(id: string, options: CallOptions = {}): Promise<Run> {
      return get(id, '', options)
    },
    /** Runs, newest first; pages are fetched as you go. */
    list(query: RunQuery = {}, options: CallOptions & { pageSize?: number } = {}): AsyncGenerator<Run, void, undefined> {
      return readPages(send, '/api/v1/runs', { ...filterOf(query), limit: options.pageSize ?? 50 }, options.signal)
    },
    async count(query: RunQuery = {}, options: CallOptions = {}): Promise<number> {
      const path = '/api/v1/runs/count'
      return (await send<{ count: number }>({ method: 'GET', path, query: filterOf(query), ...signalOf(options) })).count
    },
    /** Runs that have not moved for this long (default 60 s) although nothing that they wait for can come. There should be none. */
    async stuck({ forMs, ...options }: CallOptions & { forMs?: number } = {}): Promise<Run[]> {
      const query = { for: forMs === undefined ? undefined : `${Math.round(forMs)}ms` }
      const found: Run[] = []
      for await (const run of readPages<Run>(send, '/api/v1/runs/stuck', query, options.signal)) found.push(run)
      return found
    },
    cancel(id: string, options: CallOptions = {}): Promise<Run> {
      return move(id, 'cancel', options)
    },
    pause(id: string, options: CallOptions = {}): Promise<Run> {
      return move(id, 'pause', options)
    },
    resume(id: string, options: CallOptions = {}): Promise<Run> {
      return move(id, 'resume', options)
    },
    /** Lets what failed or was cancelled begin again. */
    retry(id: string, options: CallOptions & { reason?: string } = {}): Promise<Run> {
      const { reason } = options
      return send({
        method: 'POST',
        path: `${pathOf(id)}/retry`,
        body: { ...(reason === undefined ? {} : { reason }) },
        ...signalOf(options),
      })
    },
    /** Lets a step, and all that depends on it, begin again; `config` changes the body of its kind for this run alone. */
    replay(id: string, path: string, body: ReplayBody, options: CallOptions = {}): Promise<Run> {
      return send({ method: 'POST', path: `${pathOf(id)}/steps/${encodeURIComponent(path)}/replay`, body, ...signalOf(options) })
    },
    /** A new run that begins with what does not depend on the step. */
    fork(id: string, body: ForkBody, options: CallOptions = {}): Promise<Run> {
      return send({ method: 'POST', path: `${pathOf(id)}/fork`, body, ...signalOf(options) })
    },
    /** Retries many runs, each by itself. */
    async retryMany({ signal, ...body }: BulkOptions & { reason?: string }): Promise<BulkAnswer['items']> {
      return (await send<BulkAnswer>({ method: 'POST', path: '/api/v1/runs/retry', body: bulkOf(body), ...signalOf({ signal }) })).items
    },
    /** Forks many runs, each by itself. Every call makes new forks. */
    async forkMany({ signal, ...body }: BulkOptions & ForkBody): Promise<BulkAnswer['items']> {
      return (await send<BulkAnswer>({ method: 'POST', path: '/api/v1/runs/fork', body: bulkOf(body), ...signalOf({ signal }) })).items
    },
    /** Changes what the run has not begun yet; `expected` is the definitionVersion that was read. Gives the new one. */
    async patchDefinition(
      id: string,
      operations: readonly PatchOperation[],
      options: CallOptions & { expected: number },
    ): Promise<{ definitionVersion: number }> {
      const headers = { 'if-match': `"${options.expected}"` }
      return send({ method: 'PATCH', path: `${pathOf(id)}/definition`, headers, body: operations, ...signalOf(options) })
    },
    /** Steps of the run, oldest first. */
    steps(id: string, options: CallOptions = {}): AsyncGenerator<Step, void, undefined> {
      return readPages(send, `${pathOf(id)}/steps`, { limit: 200 }, options.signal)
    },
    step(id: string, path: string, options: CallOptions = {}): Promise<Step> {
      return get(id, `/steps/${encodeURIComponent(path)}`, options)
    },
    /** A step's whole output, also when it is too large to stand in the step. */
    stepOutput(id: string, path: string, options: CallOptions = {}): Promise<Json> {
      return get(id, `/steps/${encodeURIComponent(path)}/output`, options)
    },
    /** Events with seq > after that there are now, oldest first. `watchRun` goes on with those to come. */
    events(id: string, options: CallOptions & { after?: number } = {}): AsyncGenerator<CloudEvent, void, undefined> {
      return readPages(send, `${pathOf(id)}/events`, { after: options.after ?? 0, limit: 1_000 }, options.signal)
    },
    graph(id: string, options: CallOptions = {}): Promise<Graph> {
      return get(id, '/graph', options)
    },
    definition(id: string, options: CallOptions = {}): Promise<RunDefinition> {
      return get(id, '/definition', options)
    },
    /** What the run waits for, and who can move it. */
    why(id: string, options: CallOptions = {}): Promise<Why> {
      return get(id, '/why', options)
    },
    /** Votes on the approval that the step has open. */
    decide(id: string, path: string, decision: DecisionBody, options: CallOptions = {}): Promise<Approval> {
      const url = `${pathOf(id)}/approvals/${encodeURIComponent(path)}/decision`
      return send({ method: 'POST', path: url, body: decision, ...signalOf(options) })
    },
    /** Waits for the end of the run. Throws BatonWaitTimeout when `timeoutMs` (default: none) is over before. */
    async wait(id: string, options: CallOptions & { timeoutMs?: number } = {}): Promise<Run> {
      const deadline = Date.now() + (options.timeoutMs ?? Number.POSITIVE_INFINITY)
      for (;;) {
        const waitMs = Math.max(1, Math.min(WAIT_MS_MAX, deadline - Date.now()))
        const run = await get<Run>(id, '', options, { query: waitQuery(waitMs), waitMs })
        if (ENDED.includes(run.status)) return run
        if (Date.now() >= deadline) throw new BatonWaitTimeout(`run ${id} is ${run.status} after ${options.timeoutMs} ms`)
      }
    },
  }
}

function pathOf(id: string): string {
  return `/api/v1/runs/${encodeURIComponent(id)}`
}

function waitQuery(waitMs: number | undefined): Record<string, string | undefined> {
  return { wait: waitMs === undefined ? undefined : `${Math.round(waitMs)}ms` }
}

function bulkOf<T extends { filter: RunQuery }>(body: T): object {
  const { status, label, ...filter } = body.filter
  const lists = { ...(status === undefined ? {} : { status: [status].flat() }), ...(label === undefined ? {} : { label: [label].flat() }) }
  return { ...body, filter: { ...filter, ...lists } }
}

function filterOf(query: RunQuery): Record<string, string | readonly string[] | undefined> {
  const { status, ...rest } = query
  return { ...rest, status: status === undefined ? undefined : [status].flat().join(',') }
}

function signalOf({ signal }: { signal?: AbortSignal | undefined }): CallOptions {
  return signal === undefined ? {} : { signal }
}
