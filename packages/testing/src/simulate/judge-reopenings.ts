/** The part of the model that knows retries and replays: which steps begin anew, told by the definition and by how the steps stood. */
import { bodiesOf, depsOf, innerOf, type Judged } from './model-scope.ts'
import type { StepBody } from './random-workflow.ts'
import { hasEnded, isSatisfied, type Reopening } from './run-history.ts'

/** What is wrong with the retries and replays of a run, or undefined. */
export function judgeReopenings(judged: Judged): string | undefined {
  for (const reopening of judged.history.reopenings) {
    const { data, type, seq } = reopening.event
    const wrong = typeof data.replay === 'string' ? judgeReplay(judged, reopening, data.replay) : judgeRetry(judged, reopening)
    if (wrong) return `${type} ${seq}: ${wrong}`
  }
  return undefined
}

interface Reset {
  reset: string[]
  reopen: string[]
}

/** What failed or was cancelled, save what something around it has tolerated, begins anew or goes on; nothing else does. */
function judgeRetry(judged: Judged, { event, before, terminal }: Reopening): string | undefined {
  const { reset, reopen } = event.data as unknown as Reset
  if (terminal === 'succeeded') return 'a run that has succeeded is retried'
  const isBroken = (path: string) => {
    const step = before.get(path)
    return step !== undefined && hasEnded(step) && !isSatisfied(step)
  }
  const done = new Set([...reset, ...reopen])
  for (const path of done) if (!isBroken(path)) return `${path} is ${before.get(path)?.status} and is done again`
  for (const path of before.keys()) {
    const around = placesOf(judged, path)
    const isMeant = isBroken(path) && around.every(({ container }) => isBroken(container))
    const isKept = around.some(({ keeps, inside }) => keeps && inside.some(isBroken))
    const isDone = done.has(path) || around.some(({ container }) => reset.includes(container))
    if (isMeant && !isKept && !isDone) return `${path} is not done again`
  }
  return undefined
}

interface Place {
  container: string
  /** Paths of the steps that stand in it, beside or around the step in question. */
  inside: string[]
  /** The failure of an item is a result like any other. */
  keeps: boolean
}

/** The containers around a step, the outermost first. */
function placesOf({ definition }: Judged, path: string): Place[] {
  const parts = path.split('.')
  let steps = bodiesOf(definition.steps)
  return parts.slice(0, -1).map((part, index) => {
    const body = steps.get(idOf(part))!
    const instance = parts.slice(0, index + 1).join('.')
    steps = insideOf(body)
    const inside = [...steps.keys()].map((id) => `${instance}.${id}`)
    return { container: instance.replace(/\[\d+\]$/, ''), inside, keeps: body.forEach?.onItemError === 'continue' }
  })
}

const idOf = (part: string) => part.split('[')[0]!

/** Steps inside; those of all cases of a switch. */
function insideOf(body: StepBody): Map<string, StepBody> {
  return new Map(innerOf(body).flatMap((scope) => [...bodiesOf(scope.steps)]))
}

/** The step and all that depends on it, and on the containers around it; those containers go on. */
function judgeReplay(judged: Judged, { event, before }: Reopening, path: string): string | undefined {
  const { reset, reopen } = event.data as unknown as Reset
  const parts = path.split('.')
  const expected = new Set<string>()
  const around: string[] = []
  let steps = bodiesOf(judged.definition.steps)
  for (const [index, part] of parts.entries()) {
    const prefix = parts
      .slice(0, index)
      .map((outer) => `${outer}.`)
      .join('')
    const isLast = index === parts.length - 1
    if (!isLast) around.push(prefix + idOf(part))
    for (const id of dependentsOf(steps, idOf(part))) {
      const step = before.get(prefix + id)
      if (step && hasEnded(step) && (isLast || id !== idOf(part))) expected.add(prefix + id)
    }
    const scopes = innerOf(steps.get(idOf(part))!).map((scope) => bodiesOf(scope.steps))
    if (!isLast) steps = scopes.find((scope) => scope.has(idOf(parts[index + 1]!)))!
  }
  const missing = [...expected].find((other) => !reset.includes(other))
  const extra = reset.find((other) => !expected.has(other))
  if (missing) return `${missing} depends on ${path} and is not done again`
  if (extra) return `${extra} does not depend on ${path} and is done again`
  return reopen.length === around.length && around.every((container) => reopen.includes(container))
    ? undefined
    : `${reopen} go on, not ${around}`
}

/** The step, and all that depends on it. */
export function dependentsOf(steps: Map<string, StepBody>, id: string): Set<string> {
  const found = new Set([id])
  for (const at of found) {
    for (const [other, body] of steps) if (depsOf({ steps }, other, body).some(({ step }) => step === at)) found.add(other)
  }
  return found
}
