/** Tasks: units of work that `task` steps offer to outside programs. */
import type {
  ClaimNextBody,
  CompleteBody,
  FailBody,
  HandoffBody,
  Json,
  ProgressBody,
  ReleaseBody,
  Task,
  TaskStatus,
} from '@baton/contracts'
import type { CallOptions, Send } from './http.ts'
import { readPages } from './pages.ts'

/** Which tasks. Of several capabilities or statuses one is enough. */
export interface TaskQuery {
  capability?: string | readonly string[]
  status?: TaskStatus | readonly TaskStatus[]
  run?: string
}

/** Calls on /api/v1/tasks. Who holds a task is the key of this client; with `fencingToken` the one claim. */
export function taskCalls(send: Send) {
  const act = (id: string, call: string, body: object, options: CallOptions, repeatable = false): Promise<Task> =>
    send({ method: 'POST', path: `/api/v1/tasks/${encodeURIComponent(id)}/${call}`, body, repeatable, ...options })
  return {
    /** Tasks, newest first. */
    list(query: TaskQuery = {}, options: CallOptions & { pageSize?: number } = {}): AsyncGenerator<Task, void, undefined> {
      return readPages(send, '/api/v1/tasks', { ...query, limit: options.pageSize ?? 50 }, options.signal)
    },
    /** A task, with its payload whole. */
    get(id: string, options: CallOptions = {}): Promise<Task> {
      return send({ method: 'GET', path: `/api/v1/tasks/${encodeURIComponent(id)}`, ...options })
    },
    /** Claims a task; a BatonProblem with status 409 says who holds it. */
    claim: (id: string, options: CallOptions = {}) => act(id, 'claim', {}, options),
    /** Claims the most urgent open task that asks for nothing beyond these capabilities; undefined when there is none. */
    claimNext(capabilities: ClaimNextBody['capabilities'], options: CallOptions = {}): Promise<Task | undefined> {
      return send({ method: 'POST', path: '/api/v1/tasks/claim', body: { capabilities }, ...options })
    },
    /** A sign of life: the lease begins anew. 409: the task is somebody else's by now, drop the work. */
    progress: (id: string, progress: ProgressBody = {}, options: CallOptions = {}) => act(id, 'progress', progress, options),
    /** Ends the task; durable when it resolves. Tried again after a cut: the same end twice is one. */
    complete(id: string, output: Json, { fencingToken, ...options }: CallOptions & Pick<CompleteBody, 'fencingToken'> = {}): Promise<Task> {
      return act(id, 'complete', { output, fencingToken }, options, true)
    },
    /** Ends the attempt with an error; the step may offer a further task unless `retryable` is false. Tried again after a cut. */
    fail: (id: string, failure: FailBody, options: CallOptions = {}) => act(id, 'fail', failure, options, true),
    /** Gives the task back. */
    release: (id: string, body: ReleaseBody = {}, options: CallOptions = {}) => act(id, 'release', body, options),
    /** Hands the task on, to another key or to whoever has other capabilities. */
    handoff: (id: string, handoff: HandoffBody, options: CallOptions = {}) => act(id, 'handoff', handoff, options),
  }
}
