/**
 * Broken runners, each by one piece of its code, or one promise of what it stands on, that a simulation must find missing. `from` is replaced by
 * `to` while the module is loaded; it has to occur exactly once, so that a mutant does not survive because the code has moved on.
 */
import type { Fault } from '@baton/testing/simulate'

/** `firstSeed` begins the seeds in which it has to be found; 1 unless told. */
export type Mutant = { name: string; breaks: string; firstSeed?: number } & (
  | { file: string; edits: readonly [from: string, to: string][]; fault?: undefined }
  | { fault: Fault; file?: undefined }
)

const RUNNER = 'services/workflow-runner/src'
const ENGINE = 'packages/engine/src'
const RUNTIME = 'packages/runtime/src'

/** All of them. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: 'stale generation accepted',
    breaks: 'a result of an older generation ends nothing',
    file: `${ENGINE}/decide.ts`,
    edits: [["step?.status !== 'running' || step.generation !== fact.generation ||", "step?.status !== 'running' ||"]],
  },
  {
    name: 'stale attempt accepted',
    breaks: 'a result of an older attempt ends nothing',
    file: `${ENGINE}/decide.ts`,
    edits: [
      [
        'step.generation !== fact.generation || step.attempt !== fact.attempt || !d.state.inFlight',
        'step.generation !== fact.generation || !d.state.inFlight',
      ],
    ],
  },
  {
    name: 'timer of an earlier attempt applied',
    breaks: 'a timer of an earlier attempt moves nothing',
    file: `${ENGINE}/decide.ts`,
    edits: [
      ['return timersOf(step).some(({ timer }) => timer === fact.timer)', 'return false'],
      ['if (!isOf(fact, step)) return', ''],
    ],
  },
  {
    name: 'timer taken away by an earlier attempt',
    breaks: 'the timer of a later attempt stays',
    file: `${ENGINE}/decide.ts`,
    edits: [['return timersOf(step).some(({ timer }) => timer === fact.timer)', 'return false']],
  },
  {
    name: 'started before its needs',
    breaks: 'a step starts after all that it needs',
    file: `${ENGINE}/deciding.ts`,
    edits: [
      ["if (step.blocked > 0) return 'blocked'", "if (step.blocked > 1) return 'blocked'"],
      ["  if (needs.some((need) => !isSatisfied(step.scope.steps[need.index]!))) return 'blocked'\n", ''],
    ],
  },
  {
    name: 'facts acknowledged before the calls are out',
    breaks: 'no fact is acknowledged before everything that follows from it was sent',
    file: `${RUNNER}/advance-runs.ts`,
    edits: [['await a.send(outgoing)', 'void a.send(outgoing).catch(() => {})']],
  },
  {
    name: 'nothing sent again for redelivered facts',
    breaks: 'what was committed and not sent is sent when the facts come again',
    file: `${ENGINE}/decide.ts`,
    edits: [["(fact.kind === 'result' && fact.redelivered) || ", '']],
  },
  {
    name: 'commands given again on every applied fact',
    breaks: 'commands are given again for redelivered facts only',
    file: `${RUNNER}/advance-runs.ts`,
    edits: [["if (redelivered && fact.kind !== 'result') facts.push", 'facts.push']],
  },
  {
    name: 'no-op acknowledged on a stale cache',
    breaks: 'a fact that changed nothing goes through the fence too',
    file: `${RUNNER}/advance-runs.ts`,
    edits: [
      [
        'if (outcome.won.has(turn.runId)) won.push(turn)',
        'if (outcome.won.has(turn.runId) || turn.state.seq === turn.fromSeq) won.push(turn)',
      ],
    ],
  },
  {
    name: 'state kept after a lost race',
    breaks: 'a state whose commit did not win is forgotten',
    file: `${RUNNER}/advance-runs.ts`,
    edits: [['a.cache.delete(turn.runId)\n      again.set', 'again.set']],
  },
  {
    name: 'sent again what stands in a stream',
    breaks: 'a call that stands in a stream, or whose result does, is not sent again',
    file: `${RUNNER}/find-traces.ts`,
    edits: [['return calls.filter((call) => missing.has(callIdOf(call)))', 'return calls.filter(() => missing)']],
  },
  {
    name: 'group made at the end of its stream',
    breaks: 'a group that was lost is made again at the beginning of its stream',
    file: `${RUNTIME}/streams.ts`,
    edits: [["stream, group, '0', 'MKSTREAM'", "stream, group, '$', 'MKSTREAM'"]],
  },
  {
    name: 'stream trimmed below pending entries',
    breaks: 'an entry stays until it is acknowledged itself',
    file: `${RUNTIME}/streams.ts`,
    edits: [['pipeline.xdel(stream, ...ids)', "pipeline.xdel(stream, ...ids).xtrim(stream, 'MINID', ids.at(-1)!)"]],
  },
  {
    name: 'two compensations at once',
    breaks: 'compensations run one after the other',
    file: `${ENGINE}/decide.ts`,
    edits: [['if (current && !hasEnded(current)) return', 'if (current === null) return']],
  },
  {
    name: 'undone in the order of their starts',
    breaks: 'the last that ended is the first that is undone',
    file: `${ENGINE}/compensations.ts`,
    edits: [['a.endedAt! - b.endedAt! || a.endedSeq! - b.endedSeq!', 'a.startedAt! - b.startedAt!']],
  },
  // Seen in one seed of a hundred.
  {
    name: 'compensation not sent again',
    firstSeed: 301,
    breaks: 'a compensation whose call was lost is sent again',
    file: `${ENGINE}/decide.ts`,
    edits: [['const isOver = d.state.ending && !step.undoes', 'const isOver = d.state.ending']],
  },
  {
    name: 'failed steps undone',
    breaks: 'only what succeeded is undone',
    file: `${ENGINE}/compensations.ts`,
    edits: [["step.status === 'succeeded' && !step.copied", "step.status !== 'skipped' && step.endedAt"]],
  },
  {
    name: 'one item too many at once',
    breaks: 'not more items than `concurrency` are open',
    file: `${ENGINE}/finish-containers.ts`,
    edits: [['items.open.size < concurrency', 'items.open.size <= concurrency']],
  },
  {
    name: 'the first item for all',
    breaks: 'each item is done once, and by its own value',
    file: `${ENGINE}/deciding.ts`,
    edits: [['[scope.index!]\n    return name', '[0]\n    return name']],
  },
  {
    name: 'round begun by the timer of an earlier one',
    breaks: 'a delay that was over cuts no other one short, also when it is told again',
    file: `${ENGINE}/timers.ts`,
    edits: [["return timer === 'wait' && step.step.kind === 'loop' ? (step.inner?.index ?? 0) + 1 : step.attempt", 'return step.attempt']],
  },
  {
    name: 'one round too many',
    breaks: 'a loop ends at its limit',
    file: `${ENGINE}/finish-containers.ts`,
    edits: [['if (next >= body.max)', 'if (next > body.max)']],
  },
  {
    name: 'generation not raised',
    breaks: 'a step that is done again is told apart from what it was before',
    file: `${ENGINE}/resets.ts`,
    edits: [['step.generation += 1', 'step.generation += 0']],
  },
  {
    name: 'steps inside begin in generation 0',
    breaks: 'no key of a call comes twice, also not inside a container that is done again',
    file: `${ENGINE}/state.ts`,
    edits: [['step, instance, owner?.generation ?? 0)', 'step, instance, 0)']],
  },
  {
    name: 'dependents kept at a replay',
    breaks: 'what depends on a replayed step is done again',
    file: `${ENGINE}/resets.ts`,
    edits: [['return [...found]', 'return [step]']],
  },
  // As seldom.
  {
    name: 'success beside what stays failed',
    firstSeed: 301,
    breaks: 'a run does not succeed with a failed step, also not by a replay beside it',
    file: `${ENGINE}/reopen-run.ts`,
    edits: [['if (isBroken(step)) return step', 'if (isBroken(step) && scope.open > 0) return step']],
  },
  { name: 'fence skipped', breaks: 'a commit applies to the state that it was decided on', fault: 'fence skipped' },
  { name: 'inbox deleted before the commit', breaks: 'what was accepted is applied', fault: 'inbox deleted before the commit' },
  { name: 'timer fired twice', breaks: 'a timer is deleted in the commit that applies it', fault: 'timers kept' },
  // Seen in one seed of a hundred: a vote has to meet a deadline.
  { name: 'approvals closed unasked', breaks: 'an approval has one outcome', fault: 'approvals closed unasked', firstSeed: 400 },
  { name: 'job kept in BullMQ', breaks: 'a job that is done or given up can be sent again', fault: 'job kept' },
]
