/** What readers see of a folded run: its steps, its graph with states, and why it stands where it stands. */
import type { Graph, Step, StepStatus, Why } from '@baton/contracts'
import { isTerminal } from '@baton/contracts'
import { explainTask, type TaskStanding } from './explain-task.ts'
import { isContainer, openScopes } from './instances.ts'
import { isHeld } from './slots.ts'
import { failureOf, hasEnded, isSatisfied, type RunState, type ScopeState, type StepState } from './state.ts'

const timeOf = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString())

/** One step in its public shape. */
export function stepOf(state: RunState, step: StepState): Step {
  return {
    path: step.path,
    kind: step.step.kind,
    name: step.step.name,
    status: shownStatus(state, step),
    generation: step.generation,
    attempt: step.attempt,
    ...(step.input === undefined ? {} : { input: step.input }),
    output: step.output,
    error: step.error,
    startedAt: timeOf(step.startedAt),
    endedAt: timeOf(step.endedAt),
    ...(step.waitingFor === undefined || step.status === 'retrying' ? {} : { waitingFor: step.waitingFor }),
  }
}

/** `ready` is never recorded: a pending step that only a pause holds back is ready. */
function shownStatus(state: RunState, step: StepState): StepStatus {
  return step.status === 'pending' && step.blocked === 0 && state.status === 'paused' ? 'ready' : step.status
}

/** Every step that exists in the run, oldest first: those of the definition in its order, inner ones when their container started. */
export function stepsOf(state: RunState): Step[] {
  return [...state.steps.values()].map((step) => stepOf(state, step))
}

/** The static graph with the state of each step; a step inside a container that has not started has none. */
export function withStates(graph: Graph, state: RunState): Graph {
  return {
    ...graph,
    nodes: graph.nodes.map((node) => {
      const step = state.steps.get(node.id)
      return step ? { ...node, status: shownStatus(state, step) } : node
    }),
  }
}

/** How an approval stands, as far as /why tells it. */
export interface ApprovalStanding {
  step: string
  votes: number
  quorum: number | 'all'
  allowSelf: boolean
}

/** What the sentences need to know beside the state. */
export interface Standings {
  approvals: readonly ApprovalStanding[]
  tasks: readonly TaskStanding[]
}

/** One sentence per open step on what it waits for and who can move it; one for the whole run where something holds all of it. */
export function whyOf(state: RunState, approvals: readonly ApprovalStanding[], tasks: readonly TaskStanding[] = []): Why {
  const standings = { approvals, tasks }
  const items: Why['items'] = []
  if (isTerminal(state.status)) return { items }
  const createdAt = new Date(state.header.createdAt).toISOString()
  if (isHeld(state)) items.push(whole(state.status, createdAt, 'waits for a slot of its concurrency key', ['run:others with the same key']))
  else if (state.status === 'queued')
    items.push(whole('queued', createdAt, 'waits for a workflow-runner to start it', ['service:workflow-runner']))
  if (state.status === 'paused')
    items.push(whole('paused', createdAt, 'is paused; nothing new starts until it is resumed', ['role:operator']))
  if (state.ending)
    items.push(whole(state.status, createdAt, `is ending as ${state.ending}; it waits for the calls in flight`, ['service:http-worker']))
  explainScope(state, state.root, standings, items)
  for (const step of state.compensations) if (!hasEnded(step)) items.push(explained(state, step, standings))
  return { items }
}

function whole(status: string, since: string, reason: string, movableBy: string[]): Why['items'][number] {
  return { step: null, status, since, reason: `the run ${reason}`, movableBy }
}

function explainScope(state: RunState, scope: ScopeState, standings: Standings, items: Why['items']): void {
  for (const step of scope.steps) {
    if (hasEnded(step)) continue
    if (step.status === 'pending' && (state.ending || failureOf(scope))) continue // it will never start
    items.push(explained(state, step, standings))
    for (const inner of openScopes(step)) explainScope(state, inner, standings, items)
  }
}

function explained(state: RunState, step: StepState, standings: Standings): Why['items'][number] {
  const since = new Date(step.startedAt ?? step.scheduledAt ?? state.header.createdAt).toISOString()
  return { step: step.path, status: shownStatus(state, step), since, ...explain(state, step, standings) }
}

function explain(state: RunState, step: StepState, { approvals, tasks }: Standings): { reason: string; movableBy: string[] } {
  const due = step.dueAt === undefined ? '' : ` at ${new Date(step.dueAt).toISOString()}`
  if (step.waitingFor?.kind === 'approval') return explainApproval(step, step.waitingFor.assignees, approvals, due)
  if (step.waitingFor?.kind === 'event') {
    const until = due ? `; it gives up${due}` : ''
    return { reason: `waits for an event of type ${step.waitingFor.event}${until}`, movableBy: [`event:${step.waitingFor.event}`] }
  }
  if (step.waitingFor?.kind === 'run') {
    return { reason: `waits for ${step.waitingFor.run}, which it started, to end`, movableBy: [`run:${step.waitingFor.run}`] }
  }
  if (step.waitingFor?.kind === 'callback') {
    const until = due ? `; it gives up${due}` : ''
    return { reason: `waits for a POST to its callback.url; the call was answered${until}`, movableBy: ['callback'] }
  }
  if (step.waitingFor?.kind === 'timer') return { reason: `waits for time to pass; goes on${due}`, movableBy: ['timer'] }
  if (step.waitingFor?.kind === 'task' && step.status === 'waiting') return explainTask(step.waitingFor, tasks, due)
  if (step.status === 'retrying') {
    return { reason: `attempt ${step.attempt} failed with ${step.error?.code ?? 'an error'}; tries again${due}`, movableBy: ['timer'] }
  }
  if (step.status === 'running') {
    if (isContainer(step)) return explainContainer(step)
    const service = step.step.kind === 'agent' ? 'agent-runner' : 'http-worker'
    const what = step.step.kind === 'agent' ? 'turn' : 'call'
    const early = step.callback === undefined ? '' : '; its callback has come'
    return { reason: `its ${what} (attempt ${step.attempt}) is queued or under way${early}`, movableBy: [`service:${service}`] }
  }
  const missing = step.step.needs.map((need) => step.scope.steps[need.index]!).filter((need) => !hasEnded(need) || !isSatisfied(need))
  if (missing.length > 0)
    return {
      reason: `waits for ${missing.map((need) => need.path).join(', ')} to end`,
      movableBy: missing.map((need) => `step:${need.path}`),
    }
  if (state.status === 'paused') return { reason: 'is ready and waits for the run to be resumed', movableBy: ['role:operator'] }
  if (isHeld(state)) return { reason: 'is ready and waits for the slot of its run', movableBy: ['run:others with the same key'] }
  return { reason: 'is ready and waits for a workflow-runner', movableBy: ['service:workflow-runner'] }
}

function explainContainer(step: StepState): { reason: string; movableBy: string[] } {
  const open = [...openScopes(step)].flatMap((scope) => scope.steps.filter((inner) => !hasEnded(inner)))
  const done = step.items ? ` (${step.items.scopes.length - step.items.open.size} of ${step.items.count} items have ended)` : ''
  const round = step.inner?.index === undefined ? '' : ` (round ${step.inner.index})`
  return { reason: `waits for the steps inside it${done}${round}`, movableBy: open.map((inner) => `step:${inner.path}`) }
}

function explainApproval(step: StepState, assignees: string[], approvals: readonly ApprovalStanding[], due: string) {
  const standing = approvals.find((approval) => approval.step === step.path)
  const votes = standing && standing.quorum !== 1 ? ` (${standing.votes} of ${standing.quorum} votes)` : ''
  const self = standing && !standing.allowSelf ? ', but not by who started the run' : ''
  const deadline = due ? `; its deadline is${due.slice(3)}` : ''
  return { reason: `waits for a decision by ${assignees.join(', ')}${votes}${self}${deadline}`, movableBy: assignees }
}
