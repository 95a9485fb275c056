/** Baton as a client of its public API sees it. */
import { Agent, request } from 'undici'
import { type Client, FAN, type RunRequest, STEPS, type WorkflowName } from './engine.ts'

/** The calls of the public API that measurements need beside those of every engine. */
export interface BatonClient extends Client {
  /** Calls `/api/v1<path>`; rejects unless the answer is 2xx. */
  call<T = unknown>(method: 'GET' | 'POST' | 'PUT', path: string, body?: unknown): Promise<T>
  /** Saves the three workflows, whose steps call the target. */
  save(targetUrl: string): Promise<void>
  /** Runs with the tag in a status. */
  count(tag: string, status: string): Promise<number>
}

interface RunAnswer {
  id: string
  status: string
  error?: unknown
}

const NAMES: Record<WorkflowName, string> = { sequence: 'bench-sequence', fan: 'bench-fan', gate: 'bench-gate' }

/** What an operator looks for: all, what failed, what is open, one workflow, one label, the last hour. */
const LISTS = [
  'limit=50',
  'status=failed,timed_out',
  'status=queued,running,waiting',
  `workflow=${NAMES.sequence}&status=succeeded`,
  'label=tag:nothing-has-it',
  `since=${new Date(Date.now() - 3_600_000).toISOString()}&status=cancelled`,
]

/** A client of the API at `base`, e.g. `http://127.0.0.1:8081`. */
export function createBatonClient(base: string, key: string): BatonClient {
  const agent = new Agent({ connections: 256, pipelining: 1, headersTimeout: 90_000, bodyTimeout: 90_000 })
  /** Ids that Baton gave to runs that wait for a vote. */
  const waiting = new Map<string, string>()
  const call: BatonClient['call'] = async (method, path, body) => {
    const headers = { authorization: `Bearer ${key}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) }
    const payload = body === undefined ? null : JSON.stringify(body)
    const response = await request(`${base}/api/v1${path}`, { method, dispatcher: agent, headers, body: payload })
    const text = await response.body.text()
    if (response.statusCode >= 300) throw new Error(`${method} ${path} answered ${response.statusCode}: ${text.slice(0, 300)}`)
    return JSON.parse(text)
  }
  const send = (run: RunRequest, query = '') => call<RunAnswer>('POST', `/workflows/${NAMES[run.workflow]}/runs${query}`, bodyOf(run))
  const count: BatonClient['count'] = async (tag, status) =>
    (await call<{ count: number }>('GET', `/runs/count?status=${status}&label=tag:${tag}`)).count
  return {
    call,
    count,
    async save(targetUrl) {
      for (const [name, definition] of Object.entries(definitionsOf(targetUrl))) await call('PUT', `/workflows/${name}`, definition)
    },
    async start(run) {
      const { id } = await send(run)
      if (run.workflow === 'gate') waiting.set(run.id, id)
    },
    async run(run) {
      const { status, error } = await send(run, '?wait=60s')
      if (status !== 'succeeded') throw new Error(`a run of ${NAMES[run.workflow]} ended ${status}: ${JSON.stringify(error)}`)
    },
    async approve(run) {
      await call('POST', `/runs/${waiting.get(run.id)}/approvals/gate/decision`, { decision: 'approve' })
      waiting.delete(run.id)
    },
    done: (tag) => count(tag, 'succeeded'),
    async list(index) {
      await call('GET', `/runs?${LISTS[index % LISTS.length]}`)
    },
    close: () => agent.close(),
  }
}

function bodyOf({ tag, id, delayMs }: RunRequest): unknown {
  return { input: { tag, id, query: delayMs === undefined ? '' : `?d=${delayMs}` }, labels: { tag } }
}

function definitionsOf(targetUrl: string): Record<string, unknown> {
  const call = (step: string) => ({ http: { url: `${targetUrl}/s/\${{ input.tag }}/\${{ input.id }}/${step}\${{ input.query }}` } })
  const sequence = Array.from({ length: STEPS.sequence }, (_, index) => ({ id: `s${index}`, ...call(`s${index}`) }))
  const fan = Object.fromEntries(Array.from({ length: FAN }, (_, index) => [`s${index}`, call(`s${index}`)]))
  const gate = { id: 'gate', approval: { title: 'Go on?', assignees: ['role:admin'], allowSelf: true } }
  return {
    [NAMES.sequence]: { steps: sequence },
    [NAMES.fan]: { steps: { ...fan, join: { needs: Object.keys(fan), ...call('join') } } },
    [NAMES.gate]: { steps: [{ id: 's0', ...call('s0') }, gate, { id: 's1', ...call('s1') }] },
  }
}
