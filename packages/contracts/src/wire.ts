/**
 * What services say to each other over Redis: facts (towards the runner), calls and jobs (from it), and the names of keys and streams.
 * All of it can be lost at any time; Postgres knows enough to say it again. Run ids here are bare UUIDs.
 */
import { z } from 'zod'
import { BatonError, Json } from './json.ts'
import { Paginate } from './paginate.ts'
import { TERMINAL_RUN_STATUSES } from './states.ts'

/** Redis keys. Streams of one partition or lane share a hash tag, so that a cluster keeps them in one slot. */
export const keys = {
  facts: (partition: number) => `facts:{${partition}}`,
  calls: (lane: number) => `calls:{${lane}}`,
  events: (lane: number) => `events:{${lane}}`,
  lease: (partition: number) => `lease:{${partition}}`,
  /** Sorted set: runners that share the partitions, by when they last said so (ms, Redis' clock). */
  runners: 'baton:runners',
  /** Set, with a TTL, by a worker that holds a call for longer than a second: `inflight:<run>/<path>/<generation>/<attempt>`. */
  inflight: (callId: string) => `inflight:${callId}`,
  /** How many workers were lost while they made a call; counted when it is made again. */
  crashes: (callId: string) => `crashes:${callId}`,
  /** When the next call of a host with a rate limit may be made. */
  rate: (host: string) => `rate:{${host}}`,
  /** Gone after FLUSHALL or a loss of Redis: every open run is then swept. */
  sentinel: 'baton:sentinel',
  /** On a cluster there is one for each lane, in its slot. */
  sentinelOf: (lane: number) => `baton:sentinel:{${lane}}`,
  /** Pub/sub: ids of runs that have just ended, comma-separated. */
  ended: 'baton:run-ended',
  /** Pub/sub: ids of runs that have begun to end, comma-separated: their calls that were not begun are asked about first. */
  ending: 'baton:run-ending',
  /** Hash: service replica → JSON of Heartbeat; entries older than 15 s are dead. */
  replicas: 'baton:replicas',
  /** Pub/sub: token hash of an API key that was revoked. */
  revoked: 'baton:key-revoked',
} as const

/** Consumer groups, always created at `0` with MKSTREAM. */
export const GROUPS = { facts: 'runners', calls: 'http-workers' } as const

/** Field of every stream entry that holds its JSON. */
export const ENTRY_FIELD = 'd'

/** A row of `inbox`: what somebody was told is accepted. */
export const InboxFact = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('cancel'), by: z.string() }),
  z.object({ kind: z.literal('pause'), by: z.string() }),
  z.object({ kind: z.literal('resume'), by: z.string() }),
  z.object({ kind: z.literal('retry'), by: z.string(), reason: z.string().optional() }),
  z.object({ kind: z.literal('replay'), by: z.string(), path: z.string(), reason: z.string() }),
  /** The run goes on by another definition, which stands in its row already: what has become ready starts. */
  z.object({ kind: z.literal('patched'), by: z.string() }),
  z.object({
    kind: z.literal('approval-decided'),
    path: z.string(),
    generation: z.int(),
    approvalId: z.string(),
    decision: z.string(),
    rejects: z.boolean(),
    comment: z.string().nullable(),
    data: Json,
    decidedBy: z.array(z.string()),
    decidedAt: z.number(),
  }),
  /** The child run that a step waits for has ended; `run` is its bare id. */
  z.object({
    kind: z.literal('child-ended'),
    path: z.string(),
    generation: z.int(),
    run: z.string(),
    status: z.enum(TERMINAL_RUN_STATUSES),
    output: Json,
    error: BatonError.nullable(),
  }),
  /** Who holds the task that a step waits for has ended it; `task` is its bare id. */
  z.object({
    kind: z.literal('task-ended'),
    path: z.string(),
    generation: z.int(),
    task: z.string(),
    by: z.string(),
    outcome: z.discriminatedUnion('status', [
      z.object({ status: z.literal('succeeded'), output: Json }),
      z.object({ status: z.literal('failed'), error: BatonError, retryable: z.boolean() }),
    ]),
  }),
  /** What became of such a task meanwhile: told in the run's events, it moves nothing. */
  z.object({
    kind: z.literal('task-news'),
    path: z.string(),
    generation: z.int(),
    task: z.string(),
    type: z.enum(['claimed', 'progressed', 'released', 'handed_off', 'lease_expired']),
    data: z.record(z.string(), Json),
  }),
  /** It is the turn of a run with a concurrency key; or there is no room for it, and it does not wait (`onConflict: reject`). */
  z.object({ kind: z.literal('slot'), outcome: z.enum(['admitted', 'refused']), key: z.string() }),
  /** A paid agent turn: never asked for twice. */
  z.object({
    kind: z.literal('turn'),
    path: z.string(),
    generation: z.int(),
    attempt: z.int(),
    startedAt: z.number(),
    outcome: z.discriminatedUnion('status', [
      z.object({ status: z.literal('succeeded'), output: Json }),
      z.object({ status: z.literal('failed'), error: BatonError, retryable: z.boolean() }),
    ]),
  }),
  /** A POST to the address that the call of a step brought along; `receivedAt` is ms since 1970, by the clock of Postgres. */
  z.object({
    kind: z.literal('callback'),
    path: z.string(),
    generation: z.int(),
    receivedAt: z.number(),
    headers: z.record(z.string(), Json),
    query: z.record(z.string(), Json),
    body: Json,
  }),
  /** An event of the type that the step waits for; the step judges it by its `where`. `seq`: the order of acceptance. */
  z.object({
    kind: z.literal('event'),
    path: z.string(),
    generation: z.int(),
    seq: z.int(),
    event: Json,
    more: z.boolean().optional().describe('the last of a page of earlier events: there may be further ones'),
  }),
])
export type InboxFact = z.infer<typeof InboxFact>

/** Results that can be had again, and wake-ups for what stands in Postgres. */
export const Fact = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('result'),
    runId: z.string(),
    path: z.string(),
    generation: z.int(),
    attempt: z.int(),
    startedAt: z.number().describe('ms since 1970, by the clock of the worker'),
    outcome: z.discriminatedUnion('status', [
      z.object({ status: z.literal('succeeded'), output: Json }),
      z.object({ status: z.literal('failed'), error: BatonError, retryable: z.boolean() }),
    ]),
  }),
  /** The run was created. `run` spares the runner a query when all of it fits. */
  z.object({ kind: z.literal('start'), runId: z.string(), run: z.record(z.string(), Json).optional() }),
  /** Rows of `inbox` wait for this run. `row` spares the runner a query when it is the only one. */
  z.object({ kind: z.literal('inbox'), runId: z.string(), row: z.object({ id: z.string(), fact: InboxFact }).optional() }),
  /** Somebody saw the run stand still: judge its steps and send again what was lost. `lost` names the calls that were looked for in vain. */
  z.object({ kind: z.literal('sweep'), runId: z.string(), lost: z.array(z.string()) }),
])
export type Fact = z.infer<typeof Fact>

/** One entry of `facts:{p}`: the facts that one process had for that partition in one tick. */
export const FactsEntry = z.array(Fact)

/** Where a secret belongs in a rendered value: the text at `pointer` is the parts joined, a part `{secret}` read at the last moment. */
export const SecretSlot = z.object({
  pointer: z.string().describe('JSON Pointer into the request'),
  parts: z.array(z.union([z.string(), z.object({ secret: z.string() })])),
})
export type SecretSlot = z.infer<typeof SecretSlot>

/** The same in the request of a call, which may also hold the address for its callback: a credential too, made by the worker. */
export const RequestSlot = SecretSlot.extend({
  parts: z.array(z.union([z.string(), z.object({ secret: z.string() }), z.object({ callback: z.literal('url') })])),
})
export type RequestSlot = z.infer<typeof RequestSlot>

export const HttpAuth = z.discriminatedUnion('type', [
  z.object({ type: z.literal('bearer'), token: z.string() }),
  z.object({ type: z.literal('basic'), username: z.string(), password: z.string() }),
  z.object({ type: z.literal('apiKey'), in: z.enum(['header', 'query']), name: z.string(), value: z.string() }),
  /** Client credentials (RFC 6749 §4.4); the worker fetches the token. */
  z.object({
    type: z.literal('oauth2'),
    tokenUrl: z.string(),
    clientId: z.string(),
    clientSecret: z.string(),
    scope: z.string().optional(),
    audience: z.string().optional(),
    clientAuth: z.enum(['basic', 'body']),
  }),
])
export type HttpAuth = z.infer<typeof HttpAuth>

/** An HTTP request with every expression rendered, save its secrets. */
export const HttpRequest = z.object({
  method: z.string(),
  url: z.string(),
  headers: z.record(z.string(), z.string()).optional(),
  query: z.record(z.string(), z.union([z.string(), z.array(z.string())])).optional(),
  body: Json.optional(),
  auth: HttpAuth.optional(),
  expect: z.object({ status: z.array(z.string()).optional(), schema: Json.optional() }).optional(),
  response: z.enum(['auto', 'json', 'text', 'base64']).optional(),
  bytesMax: z.int().optional(),
  redirect: z.enum(['follow', 'manual', 'error']).optional(),
  paginate: Paginate.optional(),
  secrets: z.array(RequestSlot).optional(),
})
export type HttpRequest = z.infer<typeof HttpRequest>

/** One HTTP call of a step: an attempt. Identity: `<run>/<path>/<generation>/<attempt>`; Idempotency-Key: `run_<run>/<path>/<generation>`. */
export const HttpCall = z.object({
  runId: z.string(),
  namespace: z.string(),
  path: z.string(),
  generation: z.int(),
  attempt: z.int(),
  at: z.number().describe('ms since 1970 of the commit that scheduled it, by the clock of Postgres'),
  timeoutMs: z.int(),
  request: HttpRequest,
  trace: z.string().optional().describe('W3C traceparent of the request that started the run'),
  requestId: z.string().optional().describe('of the same request'),
  resent: z.boolean().optional().describe('sent again by a sweep: the worker asks first whether it is wanted and nobody holds it'),
})
export type HttpCall = z.infer<typeof HttpCall>

/** One entry of `calls:{lane}`: a pack of ready calls. Each is answered, counted and deduplicated by itself. */
export const CallsEntry = z.array(HttpCall)

/** Identity of a call or job. */
export function callIdOf(call: { runId: string; path: string; generation: number; attempt: number }): string {
  return `${call.runId}/${call.path}/${call.generation}/${call.attempt}`
}

/** Idempotency-Key that every try of a call carries (CONTRACT §6.2). */
export function idempotencyKeyOf(call: { runId: string; path: string; generation: number }): string {
  return `run_${call.runId}/${call.path}/${call.generation}`
}

/** A job of the BullMQ queue `agent-turns`. */
export const AgentTurn = z.object({
  runId: z.string(),
  namespace: z.string(),
  path: z.string(),
  generation: z.int(),
  attempt: z.int(),
  at: z.number(),
  timeoutMs: z.int(),
  model: z.string(),
  instructions: z.string().optional(),
  prompt: z.string(),
  output: Json.optional().describe('JSON Schema of the answer; absent = text'),
  budget: z.object({ usd: z.number().optional(), tokens: z.int().optional() }).optional(),
  trace: z.string().optional(),
  requestId: z.string().optional(),
})
export type AgentTurn = z.infer<typeof AgentTurn>

/** A job of the BullMQ queue `notifications`: tell people of an approval. All else is read from its row. */
export const Notification = z.object({
  approvalId: z.string(),
  namespace: z.string(),
  trace: z.string().optional(),
  requestId: z.string().optional(),
})
export type Notification = z.infer<typeof Notification>

/** What each replica writes to `baton:replicas` every 5 s. */
export const Heartbeat = z.object({
  service: z.string(),
  replica: z.string(),
  at: z.number(),
  url: z.string(),
  version: z.string(),
  clients: z.int().optional(),
})
export type Heartbeat = z.infer<typeof Heartbeat>
