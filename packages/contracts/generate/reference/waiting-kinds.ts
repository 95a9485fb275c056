/** Kinds that are about people, time and events. */
import { ANY_EXPRESSION, type KindText } from './kind-text.ts'

const approval: KindText = {
  about: `The step opens an approval: a question with its own id (\`apr_…\`) that those whom \`assignees\` names find in \`GET /api/v1/approvals?assignee=me\` and answer by
\`POST /api/v1/approvals/{id}/decision\`, in whatever page, chat or terminal you build on that (\`baton approvals approve …\`). There is exactly one outcome, each voter counts once, and a GET
never decides, so links in mails may be prefetched.

**Who may vote** is asked when they vote: whoever is named by user, group or role then, that is by the name, the groups and the role of their
[API key](../../services/orchestrator/README.md#api-keys). *Self*, the identity that started the run (for a child run, its root's), may not, unless
\`allowSelf\` says so. Runs of schedules and triggers were started by nobody's key, so nobody is self in them.

**When it is decided.** The first option with \`quorum\` votes wins. With \`veto\` (the default) one vote for the rejecting option decides at once. If no option can win any more,
because too few people are left who may vote, the rejecting one is the decision. Votes are final.`,
  output: {
    decision: 'id of the option that won',
    comment: 'comment of the vote that decided, or null',
    data: "that vote's answers to `form`, or null",
    decidedBy: 'who voted for it, in order; empty when the deadline decided',
    decidedAt: 'when (RFC 3339)',
  },
  errors: [
    ['BTN_APPROVAL_REJECTED', 'the rejecting option is the decision, under `onReject: fail`'],
    ['BTN_APPROVAL_TIMEOUT', 'nobody decided in time, under `onTimeout: fail`'],
    ['BTN_APPROVAL_ASSIGNEES', 'the expression of `assignees` did not give a list of `user:`, `group:` and `role:` entries'],
    ANY_EXPRESSION,
  ],
  waits:
    'People: the step is `waiting`; `waitingFor` names the approval, its assignees and its deadline, and `/why` says how many votes are missing and who can give them.',
  controls: [
    ['cancel', 'the approval is `cancelled`; a vote after that is 409'],
    ['pause', 'votes are taken; what follows from them starts at `resume`, and so does a deadline that passed meanwhile'],
    ['retry, replay', 'a new approval is opened, with a new id; the votes of the old one stay with it'],
  ],
  more: 'Patterns: [escalation to other people](../patterns/escalation.md).',
}

const wait: KindText = {
  about: `A durable timer: it is a row in Postgres, not a process that sleeps, so a run may wait for months at no cost, and restarts, deployments and a lost Redis do not matter.
One that fell due while everything was down fires when something is up again.`,
  output: { waitedMs: 'how long it waited; 0 when the moment had passed already' },
  errors: [
    ['BTN_EXPRESSION', 'the result of the expression is no duration, or no time'],
    ['BTN_TIMEOUT', 'the `timeout` of the step came first'],
  ],
  waits: 'A timer: the step is `waiting`, and `waitingFor.until` says until when.',
  controls: [
    ['cancel', 'the step is cancelled at once'],
    ['pause', 'the time goes on; a wait that fell due ends at `resume`'],
    ['retry, replay', 'waits again, from now on'],
  ],
}

const waitFor: KindText = {
  about: `Like a signal of other engines, but not addressed to a run: whoever sends a CloudEvent (\`POST /api/v1/events\`, \`baton events post\`, or an [\`emit\`](emit.md) step) need not know which runs
wait for it. One event may wake many.

The step sees events that were accepted **since its run was created**, in the order of their acceptance, so it does not matter which of the two comes first. Events are kept for 24 hours
(a setting). In a \`loop\` each round waits for an event after the one that the round before took.`,
  output: 'The event, a CloudEvent: `{ id, source, type, subject, time, data, … }`. Null when nothing came, under `onTimeout: continue`.',
  errors: [['BTN_TIMEOUT', 'nothing came in time, under `onTimeout: fail`'], ANY_EXPRESSION],
  waits: 'An event: the step is `waiting`; `waitingFor` says of which type, and until when.',
  controls: [
    ['cancel', 'the step is cancelled at once'],
    ['pause', 'events are taken; what follows starts at `resume`'],
    ['retry, replay', 'waits again; events that came since the run was created count'],
  ],
  examples: ['emit-and-wait-for'],
}

const emit: KindText = {
  about: `The event is written with the step, in one transaction: there is no event without the step, and no step without its event. Its \`source\` is \`/runs/<id>\`. It wakes
[\`waitFor\`](waitFor.md) steps of all runs of the namespace, and starts a run for each [event trigger](../triggers.md#events) of its type.

> A workflow that emits the event that starts it runs for ever. The \`where\` of its trigger is there to prevent it.`,
  output: { id: 'id of the event' },
  errors: [ANY_EXPRESSION],
  waits: 'Nothing.',
  controls: [
    ['cancel, pause', 'the step is over at once, so they come before it or after it'],
    ['replay', 'another event is sent, with another id'],
  ],
}

export const WAITING_KINDS = { approval, wait, waitFor, emit }
