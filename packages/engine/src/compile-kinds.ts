/** The body of each kind to its plan. */
import { type Json, KIND_BODIES, type StepKind } from '@baton/contracts'
import { isTimestampText } from './cel-time.ts'
import { checkSupported, report } from './compilation.ts'
import { compileApproval } from './compile-approval.ts'
import { compileForEach, compileLoop, compileSwitch } from './compile-containers.ts'
import { compileHttp } from './compile-http.ts'
import { checkSchemaAt, checkShape } from './compile-shape.ts'
import { compileTask } from './compile-task.ts'
import { compileCondition, compileText, compileValue, foldObject, type Place, textEntries } from './compile-texts.ts'
import { type ChildRef, childKeyOf, type KindPlan } from './plan.ts'

type Body<K extends StepKind> = ReturnType<(typeof KIND_BODIES)[K]['parse']>
type Compiler<K extends StepKind> = (place: Place, body: Body<K>, pointer: string, raw: Record<string, Json>) => KindPlan

/** A literal model is `provider/model`. */
const MODEL = /^[a-zA-Z0-9_.-]+\/\S+$/

const compileAgent: Compiler<'agent'> = (place, body, pointer) => {
  const { c } = place
  for (const key of ['tools', 'approve', 'session'] as const)
    if (body[key] !== undefined) checkSupported(c, `agent.${key}`, `${pointer}/${key}`)
  if (!body.model.includes('${{') && !MODEL.test(body.model)) report(c, `${pointer}/model`, 'must be provider/model, such as openai/gpt-5')
  checkSchemaAt(c, body.output, `${pointer}/output`)
  // Their settings may hold secrets; what they render to is the agent-runner's.
  if (body.tools) compileValue({ ...place, secrets: true }, body.tools, `${pointer}/tools`)
  const request = foldObject(textEntries(place, body, ['model', 'instructions', 'prompt', 'session'], pointer))
  return {
    kind: 'agent',
    request,
    ...pick(body, ['output', 'tools', 'maxTurns', 'budget', 'approve']),
  } as KindPlan
}

/** The keys that are there. */
function pick<T extends object, K extends keyof T>(body: T, keys: readonly K[]): Partial<Pick<T, K>> {
  return Object.fromEntries(keys.filter((key) => body[key] !== undefined).map((key) => [key, body[key]])) as Partial<Pick<T, K>>
}

const compileWait: Compiler<'wait'> = (place, body, pointer) => {
  const { until } = body
  if (until !== undefined && !until.includes('${{') && !isTimestampText(until)) {
    report(place.c, `${pointer}/until`, 'must be an RFC 3339 time, such as 2026-01-31T12:00:00Z')
  }
  return {
    kind: 'wait',
    ...(body.for === undefined ? {} : { for: compileText(place, body.for, `${pointer}/for`) }),
    ...(until === undefined ? {} : { until: compileText(place, until, `${pointer}/until`) }),
  }
}

const compileFail: Compiler<'fail'> = (place, body, pointer) => ({
  kind: 'fail',
  ...(body.code === undefined ? {} : { code: compileText(place, body.code, `${pointer}/code`) }),
  ...(body.message === undefined ? {} : { message: compileText(place, body.message, `${pointer}/message`) }),
})

const compileChild: Compiler<'workflow'> = (place, body, pointer, raw) => {
  if (body.version !== undefined && body.tag !== undefined) report(place.c, `${pointer}/tag`, 'give version or tag, not both')
  const child: ChildRef = { name: body.name, ...pick(body, ['version', 'tag']) } as ChildRef
  place.c.children.set(childKeyOf(child), child)
  return {
    kind: 'workflow',
    ...child,
    ...(raw.input === undefined ? {} : { input: compileValue(place, raw.input, `${pointer}/input`) }),
    wait: body.wait,
  }
}

const compileWaitFor: Compiler<'waitFor'> = (place, body, pointer) => ({
  kind: 'waitFor',
  event: compileText(place, body.event, `${pointer}/event`),
  ...(body.where === undefined ? {} : { where: compileCondition({ ...place, variables: ['event'] }, body.where, `${pointer}/where`) }),
  ...(body.timeout === undefined ? {} : { timeout: compileText(place, body.timeout, `${pointer}/timeout`) }),
  onTimeout: body.onTimeout,
})

const compileEmit: Compiler<'emit'> = (place, body, pointer, raw) => ({
  kind: 'emit',
  event: foldObject([
    ...textEntries(place, body, ['type', 'subject'], pointer),
    ...(raw.data === undefined ? [] : [['data', compileValue(place, raw.data, `${pointer}/data`)] as const]),
  ]),
})

const compileSet: Compiler<'set'> = (place, _body, pointer, raw) => ({ kind: 'set', value: compileValue(place, raw, pointer) })

const COMPILERS: { [K in Exclude<StepKind, 'switch' | 'forEach' | 'loop'>]: Compiler<K> } = {
  http: compileHttp,
  approval: compileApproval,
  agent: compileAgent,
  task: compileTask,
  set: compileSet,
  workflow: compileChild,
  wait: compileWait,
  waitFor: compileWaitFor,
  emit: compileEmit,
  fail: compileFail,
}

/** The plan of a kind's body, or undefined when its shape is wrong. */
export function compileKind(place: Place, kind: StepKind, raw: Json, pointer: string): KindPlan | undefined {
  checkSupported(place.c, kind, pointer)
  if (kind === 'switch') return compileSwitch(place, raw, pointer)
  if (kind === 'forEach') return compileForEach(place, raw, pointer)
  if (kind === 'loop') return compileLoop(place, raw, pointer)
  const body = checkShape<unknown>(place.c, KIND_BODIES[kind], raw, pointer)
  if (body === undefined) return undefined
  return (COMPILERS[kind] as Compiler<StepKind>)(place, body as never, pointer, raw as Record<string, Json>)
}
