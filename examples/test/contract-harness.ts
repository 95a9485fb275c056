/** Speaks the public surface with bare fetch and WebSocket, so that tests judge what any program would see, not what our client makes of it. */
import { randomUUID } from 'node:crypto'
import { until } from '@baton/testing'
import type { Test } from 'tap'
import { startStack } from './start-stack.ts'

/** Parsed JSON whose shape a test is about to check. */
export type Loose = ReturnType<typeof JSON.parse>

export interface Answer {
  status: number
  headers: Headers
  body: Loose
}

export interface CallOptions {
  /** Sent as JSON; text as it is. */
  body?: unknown
  /** Media type of `body`; JSON by default. */
  type?: string
  /** API key; null sends none. The admin of this file's own namespace by default. */
  key?: string | null
  headers?: Record<string, string>
}

export interface Contract {
  url: string
  liveUrl: string
  /** The bootstrap key, of namespace `default`. */
  rootKey: string
  /** An admin key of this file's own namespace. */
  adminKey: string
  namespace: string
  call(method: string, path: string, options?: CallOptions): Promise<Answer>
  /** Saves a definition; throws what was answered unless it was taken. */
  save(name: string, definition: unknown): Promise<Loose>
  /** Saves `steps` under a name of their own and gives that name. */
  saveSteps(steps: unknown, rest?: Record<string, unknown>): Promise<string>
  /** Starts a run; gives it at its end when `wait` says so. Throws unless it was taken. */
  start(workflow: string, body?: Record<string, unknown>, options?: { wait?: string; key?: string }): Promise<Loose>
  /** Saves, starts, and gives the run at its end. */
  runSteps(steps: unknown, options?: { input?: unknown; output?: unknown; definition?: Record<string, unknown> }): Promise<Loose>
  /** Waits for the end of a run. */
  ended(id: string): Promise<Loose>
  /** All items of a list, page by page. */
  list(path: string): Promise<Loose[]>
  events(id: string): Promise<Loose[]>
  step(run: string, path: string): Promise<Loose>
  /** The pending approval of a run, once it is open. */
  approvalOf(run: string, step?: string): Promise<Loose>
  makeKey(role: string, options?: { name?: string; groups?: string[] }): Promise<{ id: string; name: string; key: string }>
}

let names = 0
/** A workflow or key name that nothing else in this process has. */
export const freshName = (prefix = 'w') => `${prefix}-${++names}-${randomUUID().slice(0, 8)}`

/** Starts a stack that ends with the test, and a namespace in it. */
export async function openContract(t: Test): Promise<Contract> {
  const stack = await startStack(t)
  const namespace = `n-${randomUUID().slice(0, 8)}`
  const made = await callApi(stack.url, stack.adminKey, 'POST', '/api/v1/api-keys', {
    body: { name: 'tester', role: 'admin' },
    headers: { 'x-baton-namespace': namespace },
  })
  const contract = buildContract(stack.url, must(made, 201).key)
  t.teardown(() => expectNoneStuck(contract))
  return { ...contract, liveUrl: stack.liveUrl, rootKey: stack.adminKey, namespace }
}

/** Whatever a file has left: no run of it stands still for good. */
async function expectNoneStuck({ call }: Pick<Contract, 'call'>): Promise<void> {
  const { items, complete } = must(await call('GET', '/api/v1/runs/stuck?for=10s'), 200)
  if (!complete) throw new Error('stuck: the look was cut short')
  if (items.length > 0) throw new Error(`stuck: ${JSON.stringify(items.slice(0, 3))}`)
}

/** The body of an answer that has the status it should; else an error that shows it. */
export function must(answer: Answer, ...statuses: number[]): Loose {
  if (statuses.includes(answer.status)) return answer.body
  throw new Error(`expected ${statuses.join(' or ')}, got ${answer.status}: ${JSON.stringify(answer.body)}`)
}

/** One request with this key, or the one that the options name. */
export async function callApi(url: string, ownKey: string, method: string, path: string, options: CallOptions = {}): Promise<Answer> {
  const { body, key = ownKey, type = 'application/json', headers = {} } = options
  const response = await fetch(url + path, {
    method,
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { 'content-type': type }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: parse(text) }
}

function parse(text: string): Loose {
  try {
    return text === '' ? undefined : JSON.parse(text)
  } catch {
    return text
  }
}

function buildContract(url: string, adminKey: string): Omit<Contract, 'liveUrl' | 'rootKey' | 'namespace'> {
  const call: Contract['call'] = (method, path, options) => callApi(url, adminKey, method, path, options)
  const save: Contract['save'] = async (name, body) =>
    must(
      await call('PUT', `/api/v1/workflows/${name}`, { body, ...(typeof body === 'string' ? { type: 'application/yaml' } : {}) }),
      200,
      201,
    )
  const saveSteps: Contract['saveSteps'] = async (steps, rest = {}) => (await save(freshName(), { steps, ...rest })).name ?? ''
  const ended: Contract['ended'] = async (id) => must(await call('GET', `/api/v1/runs/${id}?wait=30s`), 200)
  const start: Contract['start'] = async (workflow, body = {}, { wait, key = adminKey } = {}) => {
    const path = `/api/v1/workflows/${workflow}/runs${wait ? `?wait=${wait}` : ''}`
    return must(await call('POST', path, { body, key }), 200, 202)
  }
  const list: Contract['list'] = async (path) => {
    const items: Loose[] = []
    for (let cursor: string | null = ''; cursor !== null; ) {
      const at: string = cursor ? `${path.includes('?') ? '&' : '?'}cursor=${encodeURIComponent(cursor)}` : ''
      const page = must(await call('GET', path + at), 200)
      items.push(...page.items)
      cursor = page.nextCursor
    }
    return items
  }
  return {
    url,
    adminKey,
    call,
    save,
    saveSteps,
    start,
    ended,
    list,
    runSteps: async (steps, { input, output, definition } = {}) => {
      const name = await saveSteps(steps, { ...(output === undefined ? {} : { output }), ...definition })
      return start(name, input === undefined ? {} : { input }, { wait: '30s' })
    },
    events: (id) => list(`/api/v1/runs/${id}/events`),
    step: async (run, path) => must(await call('GET', `/api/v1/runs/${run}/steps/${path}`), 200),
    approvalOf: (run, step) =>
      until(
        async () => {
          const { items } = must(await call('GET', `/api/v1/approvals?run=${run}&status=pending`), 200)
          return items.find((item: Loose) => step === undefined || item.step === step)
        },
        { what: `the approval of ${run}` },
      ),
    makeKey: async (role, { name = freshName('k'), groups = [] } = {}) =>
      must(await call('POST', '/api/v1/api-keys', { body: { name, role, groups } }), 201),
  }
}

/** What a problem should say; `line` and `column` are those of the entry at `pointer`. */
export interface Wrong {
  status: number
  code?: string | RegExp
  pointer?: string
  message?: RegExp
  line?: number
  column?: number
}

/** Checks that an answer is a problem of this code, at this place. */
export function expectProblem(t: Test, answer: Answer, wrong: Wrong, what: string): void {
  t.equal(answer.status, wrong.status, `${what}: ${JSON.stringify(answer.body)?.slice(0, 300)}`)
  t.match(answer.headers.get('content-type'), /^application\/problem\+json/, `${what}: problem+json`)
  t.ok(answer.headers.get('x-request-id'), `${what}: x-request-id`)
  const { body } = answer
  t.match(body, { type: String, title: String, status: wrong.status, detail: String, code: /^BTN_[A-Z_]+$/, instance: String }, what)
  if (wrong.code) t.match(body.code, wrong.code, `${what}: code`)
  if (wrong.pointer === undefined) return
  const { pointer, message = /./, line, column } = wrong
  const found = (body.errors ?? []).find((error: { pointer: string }) => error.pointer === pointer)
  t.match(found, { pointer, message, ...(line ? { line } : {}), ...(column ? { column } : {}) }, `${what}: ${JSON.stringify(body.errors)}`)
}
