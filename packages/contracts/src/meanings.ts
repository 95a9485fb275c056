/**
 * What each kind and each key of a definition means, in the words of users. One table for three readers: hovers of editors (JSON Schema), OpenAPI,
 * and docs/reference. A key without a meaning does not compile.
 */
import { z } from 'zod'
import type { StepKind } from './states.ts'

/** An object without further keys, each key with its meaning. Only the description of a key changes, never what it takes. */
export function describedObject<S extends z.ZodRawShape>(
  meanings: NoInfer<{ readonly [K in keyof S]: string }>,
  shape: S,
): z.ZodObject<S, z.core.$strict> {
  const described = Object.entries(shape).map(([key, schema]) => [key, lastingName(schema as z.ZodType).describe(meanings[key]!)])
  return z.strictObject(Object.fromEntries(described) as S)
}

/** A description makes a copy, and the copy of a lazy schema is no longer the one that has a name in the JSON Schema; one around it is. */
function lastingName(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodLazy ? z.lazy(() => schema) : schema
}

export const KIND_SUMMARIES: Record<StepKind, string> = {
  http: 'Makes an HTTP call and gives its answer.',
  approval: 'Asks people and waits for their decision.',
  agent: 'Asks a language model, and gives its answer as text or as data that fits a schema.',
  task: 'Offers a unit of work that a program of yours claims, does and completes.',
  set: 'Computes values for later steps.',
  switch: 'Runs the steps of the first case that is true.',
  forEach: 'Runs steps for each item of a list, several items at a time.',
  loop: 'Runs steps round by round, while or until something holds.',
  workflow: 'Starts a run of another workflow, and waits for its end unless told otherwise.',
  wait: 'Lets time pass: for a duration, or until a moment.',
  waitFor: 'Waits for an event from outside, or from another run.',
  emit: 'Sends an event, to whatever waits for it or is started by it.',
  fail: 'Fails, with a code and a message of yours.',
}

/** The top of a definition. */
export const DEFINITION = {
  name: 'Name of the workflow. May be left out where the address or the file says it',
  description: 'What the workflow is for; shown in lists',
  input: 'JSON Schema 2020-12 of the input, checked when a run starts (422 `BTN_INVALID_INPUT`). Left out: any input',
  timeout: 'How long a run may take, from its creation, waiting included; then it ends as `timed_out`',
  concurrency: 'How many runs with the same key go on at once',
  retention:
    'How long ended runs of the workflow are kept, by its newest version; 24 hours from their start at least. Without it the setting BATON_RETENTION counts',
  steps: 'The steps: a map (a graph, ordered by what mentions what) or a list with an `id` each (a sequence)',
  output: 'What the run gives: any JSON with `${{ … }}` in it. Left out: null. An error in it fails the run (`BTN_EXPRESSION`)',
}
export const CONCURRENCY = {
  key: 'Runs of this workflow with the same text here share the slots',
  limit: 'Slots: runs of one key at once. A run holds its slot from its start to its end, also while it waits or is paused',
  onConflict:
    'When all slots are taken: `queue` waits its turn (by priority, then age), `reject` ends the new run as failed (`BTN_CONCURRENCY`), `cancel-running` cancels the oldest others',
}

/** Keys of every step. */
export const COMMON = {
  name: 'A name for people; left out: the id of the step',
  needs:
    'Steps of the same scope that must have ended first: an id, `{ step, require }`, or a list of these. Steps that are mentioned in an expression need not be named',
  if: 'Condition; false skips the step, whose output is then null',
  join: '`all`: starts when every dependency is satisfied. `any`: starts when the first has succeeded, is skipped when none did',
  timeout:
    'Bounds each attempt, or the whole wait of a kind that waits. 30s for `http`, 10m for `agent`, none for others. Of `approval` and `waitFor` it stands in their body',
  retry: 'How often the step is tried, when, and after which errors; left out: once',
  onError:
    'What a failure means: `fail` ends the run; `continue` goes on with output null; `{ output }` goes on with that output. The step stays `failed`',
  compensate:
    'Undoes the step when the run ends in any way but success: a step body of one kind without steps inside, with `retry` (5 attempts unless it says otherwise) and `timeout`',
}
export const NEED = {
  step: 'Id of the step',
  require: '`satisfied`: succeeded, skipped, or failed under `onError`. `succeeded`: else this step is skipped',
}
export const RETRY = {
  attempts: 'Tries in all, the first included',
  backoff: '`exponential`: each pause is twice the one before. `fixed`: all pauses are equal',
  initial: 'The first pause',
  max: 'The longest pause; also the most that a `Retry-After` of the service is obeyed',
  jitter:
    '`full` (or true): each pause is drawn between nothing and its length, so that many runs do not come back at once. false: exact pauses',
  on: 'Condition over `error` (`code`, `message`, `status` of an HTTP answer): try again only when it holds. Left out: network errors, timeouts, 408, 425, 429, 5xx and lost workers',
}
export const ON_ERROR = { output: 'What later steps see as the output of the failed step' }

export const HTTP = {
  url: 'Where to call: `http://` or `https://`. Credentials stand in `auth`',
  method: 'Method, in any case of letters',
  headers: 'Headers; texts, numbers and booleans, sent as text',
  query: 'Query parameters, added to what the URL has; a list is sent as several parameters of one name',
  body: 'Any JSON; a text is sent as it is; an object becomes a form when the content-type says `application/x-www-form-urlencoded`',
  auth: 'Credentials, one of the four ways. They never follow a redirect to another origin, and are redacted in all that the step gives back',
  expect: 'What counts as success',
  response: 'How the body is read: by its content-type (`auto`), or as `json`, `text` or `base64`',
  maxBytes: 'Largest body in bytes (`BTN_HTTP_TOO_LARGE`). 10 MiB unless given, which is also the bound',
  redirect: '`follow` (or true; at most 5), `manual` (or false: the redirect is the answer), `error`. Left out: `follow`',
  paginate: 'Reads a list page by page; `body` holds the items of all pages',
  callback: 'Waits, after the call, for a POST to `${{ callback.url }}`, which the call hands to the service',
}
export const AUTH_BEARER = { bearer: 'A token, sent as `Authorization: Bearer …`' }
export const AUTH_BASIC = { basic: 'User name and password (RFC 7617)' }
export const BASIC = { username: 'User name', password: 'Password, best `${{ secrets.NAME }}`' }
export const AUTH_API_KEY = { apiKey: 'A key in a header or a query parameter' }
export const API_KEY = { in: 'Where the key goes', name: 'Name of the header or parameter', value: 'The key, best `${{ secrets.NAME }}`' }
export const AUTH_OAUTH2 = {
  oauth2: 'An access token by client credentials (RFC 6749 §4.4), fetched when needed and kept until shortly before it expires',
}
export const OAUTH2 = {
  tokenUrl: 'Where tokens are given',
  clientId: 'Id of the client',
  clientSecret: 'Secret of the client, best `${{ secrets.NAME }}`',
  scope: 'Scopes, separated by spaces',
  audience: 'Sent along where it is given',
  clientAuth: 'How the client shows who it is (RFC 6749 §2.3.1): by Basic authorization, or in the body',
}
export const EXPECT = {
  status: 'A status (200), a class ("2xx"), or a list of them. Left out: "2xx"; any other answer is `BTN_HTTP_STATUS`',
  schema: 'JSON Schema 2020-12 that the body has to match (`BTN_HTTP_RESPONSE`)',
}

export const APPROVAL = {
  title: 'The question, in one line',
  description: 'More of it, as Markdown',
  data: 'Any JSON that people should see beside the question',
  form: 'JSON Schema of the `data` that a vote brings along. Votes for the option that rejects need not fill it in',
  options: 'What may be voted for. Left out: `approve` and `reject`',
  assignees:
    'Who may vote: `user:<name>`, `group:<name>`, `role:<role>`, a list of these, or an expression that gives one. Left out: `role:operator`',
  quorum: 'How many votes an option needs; `all`: at least one vote for it from every entry of `assignees`',
  veto: 'One vote for the option that rejects decides at once',
  allowSelf: 'Whether whoever started the run may vote',
  requireComment: 'Whether a vote needs a comment: true, or a list of the options that need one',
  reminders: 'When people are reminded: a duration after the opening, or a list of them',
  escalate: 'Who is asked beside the assignees, and after which time',
  timeout: 'How long people have; then `onTimeout` says what it means. Left out: for ever',
  onTimeout: 'When nobody decided in time: `reject` or `approve` take the option that does so, `fail` is `BTN_APPROVAL_TIMEOUT`',
  onReject: 'What the rejecting decision means: `fail` (`BTN_APPROVAL_REJECTED`), or `continue`, and `decision` in the output tells',
  notify:
    'Whom to tell of the question: `{ webhook: { url, headers? } }`, `{ slack: { url } }`, or a list of them. `{ email: … }` is taken, and not sent yet',
}
export const APPROVAL_OPTION = {
  id: 'What a vote names',
  title: 'What people read',
  approves: 'The option that `onTimeout: approve` takes; left out: the one named `approve`',
  rejects: 'The option that `veto` and `onReject` are about; left out: the one named `reject`',
}

export const AGENT = {
  model: '`provider/model`, a provider that the agent-runner is set up for. `mock/…` answers offline',
  instructions: 'The system prompt',
  prompt: 'What the model is asked',
  tools: 'Tools that the model may call',
  output: 'JSON Schema of the answer: `data` is then the parsed and checked value. Left out: `data` is null and `text` has the answer',
  maxTurns: 'Turns at most. This version takes one turn, whatever it says',
  budget: 'What the answer may cost; over it the step fails (`BTN_AGENT_BUDGET`)',
  approve: 'Names of tools that a person has to approve before they are called',
  session: 'Conversation that is carried on from step to step',
}
export const BUDGET = {
  usd: 'US dollars; needs a price for the model (setting `AGENT_PRICES`)',
  tokens: 'Tokens of prompt and answer together',
}

export const TASK = {
  capabilities: 'What a worker must be able to do, all of it',
  payload: 'Any JSON that the worker gets',
  lease: 'How long a claim lasts without a sign of life; then the task is offered again',
  priority: 'Higher ones are offered first',
}

export const SWITCH = {
  cases: 'Asked in their order; the first whose `if` is true runs',
  default: 'Runs when no case is true. Left out: nothing runs, and `case` is null',
}
export const SWITCH_CASE = { if: 'Condition of this case', steps: 'What runs then: a map or a list of steps' }
export const SWITCH_DEFAULT = { steps: 'What runs then: a map or a list of steps' }

export const FOR_EACH = {
  in: 'The list: written out, or one expression that gives it. An empty one succeeds at once; 10 000 items at most',
  as: 'Name of the item in expressions; its index is then `<as>Index`. Left out: `item` and `index`',
  steps: 'What runs for each item: a map or a list of steps',
  concurrency: 'Items at once',
  onItemError:
    'When an item fails: `fail` starts no further ones and fails the step (`BTN_STEP_FAILED`); `continue` makes it a result like any other',
}

export const LOOP = {
  steps: 'What runs in each round: a map or a list of steps',
  while: 'Asked before each round: false ends the loop. Sees `iteration` (of the round to come) and `last` (what the round before gave)',
  until: 'Asked after each round: true ends the loop. Sees `iteration` and `last` of the round that has just ended',
  max: 'Rounds at most; a loop that would go on fails (`BTN_LOOP_LIMIT`)',
  delay: 'Pause between two rounds',
}

export const WORKFLOW = {
  name: 'The workflow to start',
  version: 'A version of it; chosen when the step starts. Left out: the tag `live`, else the highest version',
  tag: 'A tag of it, in place of a version',
  input: 'Input of the run, checked against the schema of that version. Left out: `{}`',
  wait: 'false: goes on at once, with the id of the run as output',
}

export const WAIT = {
  for: 'How long: a duration, or an expression that gives one',
  until: 'Until when: an RFC 3339 time, or an expression that gives one. A time in the past does not wait. Give exactly one of the two',
}

export const WAIT_FOR = {
  event: 'Type of the event (CloudEvents `type`)',
  where: 'Condition over `event`; events for which it is false, or cannot be asked, are not the one',
  timeout: 'How long to wait. Left out: for ever',
  onTimeout: 'When nothing came: `fail` (`BTN_TIMEOUT`), or `continue` with output null',
}

export const EMIT = {
  type: 'Type of the event (CloudEvents `type`)',
  subject: 'What it is about (CloudEvents `subject`)',
  data: 'Any JSON',
}

export const FAIL = {
  code: 'Code of the error, for programs. Left out: `BTN_USER_FAIL`',
  message: 'Message of the error, for people',
}
