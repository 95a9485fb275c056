/** Kinds that have work done elsewhere: by a service, a model, a program, another workflow. */
import { ANY_EXPRESSION, type KindText } from './kind-text.ts'

const http: KindText = {
  about: `The call is made by an [http-worker](../../services/http-worker/README.md), not by the process that moves the run. Every try carries
\`Idempotency-Key: run_<id>/<step path>/<generation>\`, the same on each, unless the step writes that header itself: a service that honours it does the work once,
whatever crashes in between.

Where other engines have an activity or a node for each service, this one kind is all there is: it speaks to anything that has an HTTP API, and a service of yours needs no
library of Baton.

Only public addresses may be called; \`BATON_HTTP_ALLOW\` lets others through. Values of secrets are replaced by \`[redacted]\` in everything that a step gives back.
[The guide to the http step](../http.md) has more on credentials, on pages of lists, on callbacks, and on hosts that fail or want to be asked slowly.`,
  output: {
    status: 'HTTP status, a number',
    headers: 'headers of the answer, their names in lower case; with `callback` those of the callback',
    body: 'the body, read as `response` says; with `paginate` the items of all pages; with `callback` what was posted',
    durationMs: 'how long the call took; with `callback` the time from the call to its callback',
    pages: 'with `paginate`: how many pages were read',
    more: 'with `onMax: stop`: true when there would have been more pages',
    query: 'with `callback`: what the service added to the address',
    receivedAt: 'with `callback`: when it came',
    call: 'with `callback`: what the call itself gave, status, headers, body and durationMs; `{error}` when it failed and the callback came all the same',
  },
  errors: [
    [
      'BTN_HTTP_STATUS',
      'the status is not one that `expect.status` names; `error.status` has it. 408, 425, 429 and 5xx are tried again',
      true,
    ],
    ['BTN_HTTP_NETWORK', 'no connection, no such host, a certificate that does not hold', true],
    ['BTN_TIMEOUT', 'an attempt took longer than `timeout`, and is tried again; or with `callback` none came in time, and it is not', true],
    [
      'BTN_HTTP_RESPONSE',
      'the body cannot be read as `response` says, does not match `expect.schema`, or the call was redirected under `redirect: error`',
    ],
    ['BTN_HTTP_TOO_LARGE', 'the body is larger than `maxBytes`'],
    ['BTN_HTTP_PAGES', 'there are more pages than `paginate.max`'],
    ['BTN_OAUTH2_TOKEN', 'no token; tried again after network errors, timeouts, 408, 425, 429 and 5xx of the token URL', true],
    ['BTN_ADDRESS_REFUSED', 'the address is private and not let through'],
    ['BTN_SECRET_UNKNOWN', 'a secret that the step names does not exist'],
    ['BTN_WORKER_LOST', 'the call took its worker with it too often'],
    ['BTN_OUTPUT_TOO_LARGE', 'what the step would give is over 10 MiB'],
    ANY_EXPRESSION,
  ],
  waits: `With \`callback: true\` for a POST to \`callback.url\`, once the call was answered: the step is \`waiting\`, and \`timeout\` bounds that wait (each call then by 30 s at most). Otherwise nothing: the step is \`running\` while the call is under way or waits for its host, and \`retrying\` between two attempts. \`timeout\` counts from the moment that the call is made.`,
  controls: [
    [
      'cancel',
      'a call that was not made yet is withdrawn; one in flight ends within its timeout and is recorded; a wait for a callback ends at once',
    ],
    ['pause', 'a call in flight ends and is recorded, and callbacks are taken; the next attempt is made after `resume`'],
    [
      'retry, replay',
      'the call is made again in the next generation, under another Idempotency-Key, and with another `callback.url`; `replay` with `config` changes the body of this step for this run',
    ],
  ],
}

const agent: KindText = {
  about: `One prompt, one answer, by a model that the [agent-runner](../../services/agent-runner/README.md) is set up for: any OpenAI-compatible endpoint, or \`mock/…\`, which answers
offline, at once and always the same. With \`output\` the answer is parsed and checked before the run sees it, so later steps work with data and not with prose.

An answer that was paid for is not lost: it is stored before the job is acknowledged, and asked for again only when the process died while the model answered.`,
  output: {
    text: 'the answer as it came',
    data: 'with `output`: the parsed and checked value; else null',
    usage: '`{ inputTokens, outputTokens, usd }`',
    turns: 'how often the model was asked',
  },
  errors: [
    ['BTN_AGENT', 'network error, 408, 425, 429 or 5xx of the provider', true],
    [
      'BTN_AGENT',
      'another status, or an answer that is no JSON or not what `output` asks for; `retry.on: error.code == "BTN_AGENT"` tries it again, and pays again',
    ],
    ['BTN_AGENT_MODEL', 'the provider is not set up, or does not have the model'],
    ['BTN_AGENT_BUDGET', 'the prompt or the answer is over `budget`, or a budget in USD meets a model without a price'],
    ['BTN_TIMEOUT', 'the model took longer than `timeout` (10m unless given)', true],
    ['BTN_OUTPUT_TOO_LARGE', 'the answer is over 10 MiB'],
    ANY_EXPRESSION,
  ],
  waits: 'Nothing: the step is `running` until the model has answered.',
  controls: [
    ['cancel', 'a turn that was not begun is withdrawn; one under way ends within its timeout and is recorded'],
    ['pause', 'a turn under way ends and is recorded'],
    ['retry, replay', 'the model is asked again'],
  ],
}

const task: KindText = {
  about: `For work that is pulled and not pushed: the step offers a task, and any program with a key of the role \`worker\` that can do what \`capabilities\` ask for claims it, tells how far it is,
and completes it. A claim is exclusive, and a lease: a worker that falls silent loses it, and the same task is offered again.

Where \`http\` calls a service that is there, \`task\` waits for one that comes: behind a firewall, on a machine that is not always on, with a queue of its own, or a person at a screen.
Each attempt of the step is a task of its own, with the same payload.`,
  output: 'What the worker completed the task with.',
  errors: [
    ['BTN_TASK_FAILED', 'the worker failed the task, without a code of its own; not tried again where it says `retryable: false`', true],
    ['BTN_TIMEOUT', 'nobody completed it within `timeout`, over all attempts'],
    ['BTN_TASK_CAPABILITIES', 'an expression in `capabilities` does not give texts'],
    ANY_EXPRESSION,
  ],
  waits:
    'A worker: the step is `waiting`; `waitingFor` names the task and its capabilities, and `/why` who holds it and how far that one is.',
  controls: [
    ['cancel', 'the task is cancelled, also when it is held: the next call of its holder is 409'],
    ['pause', 'no task of the run can be claimed; who holds one may go on and complete it'],
    ['retry, replay', 'a new task is offered, in the next generation'],
  ],
}

const workflow: KindText = {
  about: `The version is chosen when the step starts, not when the definition is saved: by number, by tag, or as any start chooses it. The child is a run of its own, with its own events, steps and
controls; \`parent\` in it names the step that started it.

Failure passes up, cancellation passes down: a child that does not succeed fails the step with the child's error as \`cause\`, and a parent that is cancelled or runs into its timeout
cancels its children. Runs nest up to 8 levels deep.

> The keys at the top of a workflow have [a page of their own](definition.md).`,
  output: 'The output of the child run. With `wait: false` its id, a text, as soon as it is started.',
  errors: [
    ['BTN_CHILD_FAILED', 'the child ended as failed, cancelled or timed out; `cause` has its error'],
    ['BTN_CHILD_UNKNOWN', 'there is no such workflow, version or tag, or it is archived'],
    ['BTN_CHILD_INPUT', 'the input does not match the schema of the child'],
    ['BTN_CHILD_DEPTH', 'the child would be more than 8 levels below the first run'],
    ['BTN_TIMEOUT', 'the child took longer than the `timeout` of the step; it is cancelled'],
    ANY_EXPRESSION,
  ],
  waits: 'The child run: the step is `waiting`, and `waitingFor.run` names it. With `wait: false` nothing.',
  controls: [
    ['cancel', 'the child is told to cancel; the parent does not wait for it. A child that was started with `wait: false` goes on'],
    ['pause', 'the child goes on; its end counts at `resume`'],
    ['retry, replay', 'another child is started'],
  ],
}

export const CALLING_KINDS = { http, agent, task, workflow }
