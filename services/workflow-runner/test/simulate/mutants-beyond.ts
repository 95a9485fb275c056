/** Broken runners, as in mutants.ts: those that break what ties runs together, and what is undone. */
import type { Mutant } from './mutants.ts'

const ENGINE = 'packages/engine/src'

/** All of them. */
export const MUTANTS_BEYOND: readonly Mutant[] = [
  {
    name: 'reopened run refused a slot',
    breaks: 'a run that is reopened waits for its slot, and is not undone for want of one',
    file: `${ENGINE}/slots.ts`,
    edits: [["onConflict === 'reject' && d.state.reopenings ? 'queue' : onConflict", 'onConflict']],
  },
  {
    name: 'nothing begun at resume',
    breaks: 'what has become ready during a pause starts when it is over',
    file: `${ENGINE}/pause-run.ts`,
    edits: [["if (d.state.status === 'queued') return startRun(d)\n  goOn(d)", "if (d.state.status === 'queued') return startRun(d)"]],
  },
  {
    name: 'compensation tried once',
    breaks: 'a compensation is tried again as its retry says',
    file: `${ENGINE}/end-step.ts`,
    edits: [['if (!isLive(d, step.scope) && !step.undoes) return false', 'if (!isLive(d, step.scope)) return false']],
  },
  {
    name: 'fork undoes what another run did',
    breaks: 'what a fork has taken over is undone by the run that did it, if at all',
    file: `${ENGINE}/compensations.ts`,
    edits: [["step.status === 'succeeded' && !step.copied", "step.status === 'succeeded'"]],
  },
  {
    name: 'fork takes over what depends on its step',
    breaks: 'a fork runs again what depends on the step that it is forked from',
    file: `${ENGINE}/fork-run.ts`,
    edits: [['isSatisfied(step) && !again.includes(step))', 'isSatisfied(step) && step !== again[0])']],
  },
  {
    name: 'fork takes over what failed',
    breaks: 'a fork runs again what failed or was cancelled',
    file: `${ENGINE}/fork-run.ts`,
    edits: [['hasEnded(step) && isSatisfied(step) && !again', 'hasEnded(step) && !again']],
  },
  {
    name: 'deaf to what came before',
    breaks: 'a step is woken by an event that was accepted before it began to wait',
    file: `${ENGINE}/wait-for-event.ts`,
    edits: [['register(d, step, event, d.state.eventsTaken.get(placeOf(step)) ?? 0)', 'register(d, step, event, 1_000_000)']],
  },
  {
    name: 'event taken twice',
    breaks: 'each event is taken once at one place, whatever the round or the generation',
    file: `${ENGINE}/wait-for-event.ts`,
    edits: [
      ['d.state.eventsTaken.get(placeOf(step)) ?? 0)\n}', '0)\n}'],
      ['  if (fact.seq <= (d.state.eventsTaken.get(placeOf(step)) ?? 0)) return\n', ''],
    ],
  },
  {
    name: 'waiter left behind',
    breaks: 'nobody is told of events for a step that has ended',
    file: `${ENGINE}/end-step.ts`,
    edits: [["if (step.waitingFor?.kind === 'event') stopWaiting(d, step)", '']],
  },
  {
    name: 'end of a child told when it succeeded alone',
    breaks: 'the end of a child run reaches its parent, whatever end that is',
    file: `${ENGINE}/end-run.ts`,
    edits: [['if (told) d.decision', "if (told && state.status === 'succeeded') d.decision"]],
  },
  {
    name: 'child left running by a timeout',
    breaks: 'a step that waits no longer calls off the run that it waited for',
    file: `${ENGINE}/decide.ts`,
    edits: [["if (step.waitingFor?.kind === 'run') cancelChild(d, step.waitingFor.run)\n  if", 'if']],
  },
  {
    name: 'slot kept by what does not succeed',
    breaks: 'a run leaves its slot when it has ended, in whatever way',
    file: `${ENGINE}/end-run.ts`,
    edits: [
      [
        "if (state.plan.concurrency) d.decision.slot = { act: 'leave' }",
        "if (state.plan.concurrency && !state.error) d.decision.slot = { act: 'leave' }",
      ],
    ],
  },
  {
    name: 'admission outlives the run',
    breaks: 'a run that is reopened asks for a slot again',
    file: `${ENGINE}/apply-event.ts`,
    edits: [['      delete state.admitted\n', '']],
  },
  {
    name: 'slot given while all are held',
    breaks: 'never more runs in their slots than the limit',
    fault: 'slot given while all are held',
  },
  {
    name: 'waiter set after the commit',
    breaks: 'no event falls between the look at earlier ones and the waiter',
    fault: 'waiter set after the commit',
  },
]
