/**
 * The definition of a workflow, as users write it (CONTRACT §2). Structure only: names, references, cycles and expressions are checked by
 * the engine. Editors get its JSON Schema from schemas/workflow.schema.json, generated from here.
 */
import { z } from 'zod'
import { NAME } from './api.ts'
import { NOT_A_DURATION, parseDuration } from './durations.ts'
import { Json } from './json.ts'
import * as meanings from './meanings.ts'
import { describedObject, KIND_SUMMARIES } from './meanings.ts'
import { Paginate } from './paginate.ts'
import type { StepKind } from './states.ts'

export const STEP_ID = /^[a-zA-Z_][a-zA-Z0-9_]{0,62}$/
export const RESERVED_STEP_IDS = ['in', 'true', 'false', 'null'] as const

export const Duration = z
  .string()
  .refine((text) => parseDuration(text) !== undefined, NOT_A_DURATION)
  .describe('500ms, 30s, 5m, 24h, 7d or ISO 8601 PT5M')
/** What users call the types that stand at many keys; docs/reference names them so. */
export const TYPE_NAMES = z.registry<{ name: string }>()
Duration.register(TYPE_NAMES, { name: 'duration' })
Json.register(TYPE_NAMES, { name: 'any JSON' })

/** A duration, or `${{ … }}` that gives one. */
const DynamicDuration = z
  .string()
  .refine((text) => text.includes('${{') || parseDuration(text) !== undefined, NOT_A_DURATION)
  .register(TYPE_NAMES, { name: 'duration or expression' })
/** A CEL expression, with or without `${{ }}`; `true` and `false` may stand bare in YAML. */
const Condition = z.union([z.string().min(1), z.boolean()]).register(TYPE_NAMES, { name: 'condition' })
/** Text with `${{ … }}` in it. */
const Template = z.string().register(TYPE_NAMES, { name: 'text' })
/** A text, or a number or boolean that is sent as text. */
const Scalar = z.union([z.string(), z.number(), z.boolean()]).register(TYPE_NAMES, { name: 'text, number or boolean' })
const JsonSchema = z.union([z.record(z.string(), Json), z.boolean()]).register(TYPE_NAMES, { name: 'JSON Schema' })

export const Need = z.union([
  z.string(),
  describedObject(meanings.NEED, { step: z.string(), require: z.enum(['satisfied', 'succeeded']).default('satisfied') }),
])
export const Retry = describedObject(meanings.RETRY, {
  attempts: z.int().min(1).max(100).default(1),
  backoff: z.enum(['exponential', 'fixed']).default('exponential'),
  initial: Duration.default('1s'),
  max: Duration.default('60s'),
  jitter: z.union([z.literal('full'), z.boolean()]).default('full'),
  on: Condition.optional(),
})
export const OnError = z.union([z.enum(['fail', 'continue']), describedObject(meanings.ON_ERROR, { output: Json })])
export const Concurrency = describedObject(meanings.CONCURRENCY, {
  key: Template,
  limit: z.int().positive().default(1),
  onConflict: z.enum(['queue', 'reject', 'cancel-running']).default('queue'),
})

/** Keys of every step beside its kind. */
export const CommonKeys = describedObject(meanings.COMMON, {
  name: z.string().max(200).optional(),
  needs: z.union([Need, z.array(Need)]).optional(),
  if: Condition.optional(),
  join: z.enum(['all', 'any']).default('all'),
  timeout: Duration.optional(),
  retry: Retry.optional(),
  onError: OnError.default('fail'),
  compensate: Json.optional(),
})

export const HttpBody = describedObject(meanings.HTTP, {
  url: Template.min(1),
  method: z
    .string()
    .regex(/^([A-Za-z]+|\$\{\{[\s\S]*\}\})$/, 'not an HTTP method')
    .register(TYPE_NAMES, { name: 'text' })
    .default('GET'),
  headers: z.record(z.string(), Scalar).optional(),
  query: z.record(z.string(), z.union([Scalar, z.array(Scalar)])).optional(),
  body: Json.optional(),
  auth: z
    .union([
      describedObject(meanings.AUTH_BEARER, { bearer: Template }),
      describedObject(meanings.AUTH_BASIC, { basic: describedObject(meanings.BASIC, { username: Template, password: Template }) }),
      describedObject(meanings.AUTH_API_KEY, {
        apiKey: describedObject(meanings.API_KEY, {
          in: z.enum(['header', 'query']).default('header'),
          name: z.string().min(1),
          value: Template,
        }),
      }),
      describedObject(meanings.AUTH_OAUTH2, {
        oauth2: describedObject(meanings.OAUTH2, {
          tokenUrl: Template,
          clientId: Template,
          clientSecret: Template,
          scope: Template.optional(),
          audience: Template.optional(),
          clientAuth: z.enum(['basic', 'body']).default('basic'),
        }),
      }),
    ])
    .optional(),
  expect: describedObject(meanings.EXPECT, {
    status: z
      .union([z.int(), z.string(), z.array(z.union([z.int(), z.string()])).min(1)])
      .refine((v) => [v].flat().every((s) => /^[1-5](\d\d|xx)$/.test(String(s))), 'a status such as 200, or a class such as "2xx"')
      .optional(),
    schema: JsonSchema.optional(),
  }).optional(),
  response: z.enum(['auto', 'json', 'text', 'base64']).default('auto'),
  maxBytes: z.int().positive().optional(),
  redirect: z.union([z.enum(['follow', 'manual', 'error']), z.boolean()]).optional(),
  paginate: Paginate.optional(),
  callback: z.boolean().optional(),
})

const ApprovalOptionBody = describedObject(meanings.APPROVAL_OPTION, {
  id: z.string().min(1).max(63),
  title: z.string().optional(),
  approves: z.boolean().optional(),
  rejects: z.boolean().optional(),
})
export const ApprovalBody = describedObject(meanings.APPROVAL, {
  title: Template.min(1),
  description: Template.optional(),
  data: Json.optional(),
  form: JsonSchema.optional(),
  options: z
    .array(z.union([z.string().min(1).max(63), ApprovalOptionBody]))
    .min(1)
    .max(20)
    .optional(),
  assignees: z.union([Template, z.array(Template).min(1)]).optional(),
  quorum: z.union([z.int().positive(), z.literal('all')]).default(1),
  veto: z.boolean().default(true),
  allowSelf: z.boolean().default(false),
  requireComment: z.union([z.boolean(), z.array(z.string())]).default(false),
  reminders: z.union([DynamicDuration, z.array(DynamicDuration)]).optional(),
  escalate: z.union([z.record(z.string(), Json), z.array(z.record(z.string(), Json))]).optional(),
  timeout: DynamicDuration.optional(),
  onTimeout: z.enum(['reject', 'approve', 'fail']).default('reject'),
  onReject: z.enum(['fail', 'continue']).default('fail'),
  notify: z.union([z.record(z.string(), Json), z.array(z.record(z.string(), Json))]).optional(),
})

export const AgentBody = describedObject(meanings.AGENT, {
  model: Template.min(1),
  instructions: Template.optional(),
  prompt: Template.min(1),
  tools: z.array(Json).optional(),
  output: JsonSchema.optional(),
  maxTurns: z.int().positive().optional(),
  budget: describedObject(meanings.BUDGET, { usd: z.number().positive().optional(), tokens: z.int().positive().optional() }).optional(),
  approve: z.array(z.string()).optional(),
  session: Template.optional(),
})
const TaskBody = describedObject(meanings.TASK, {
  capabilities: z.array(Template.min(1)).min(1).max(20),
  payload: Json.optional(),
  lease: Duration.default('60s'),
  priority: z.int().min(0).max(9).default(5),
})
const WorkflowBody = describedObject(meanings.WORKFLOW, {
  name: z.string().regex(NAME, 'must match ^[a-z0-9][a-z0-9-]{0,62}$'),
  version: z.int().positive().optional(),
  tag: z.string().optional(),
  input: Json.optional(),
  wait: z.boolean().default(true),
})
const WaitBody = describedObject(meanings.WAIT, { for: DynamicDuration.optional(), until: Template.optional() }).refine(
  (body) => (body.for === undefined) !== (body.until === undefined),
  'give exactly one of for and until',
)
const WaitForBody = describedObject(meanings.WAIT_FOR, {
  event: Template.min(1),
  where: Condition.optional(),
  timeout: DynamicDuration.optional(),
  onTimeout: z.enum(['fail', 'continue']).default('fail'),
})
const EmitBody = describedObject(meanings.EMIT, { type: Template.min(1), subject: Template.optional(), data: Json.optional() })
const FailBody = describedObject(meanings.FAIL, { code: Template.optional(), message: Template.optional() })

/** One step as parsed: common keys and one kind. Written out, since the schemas below refer to each other. */
export interface StepBody extends z.infer<typeof CommonKeys> {
  id?: string
  http?: z.infer<typeof HttpBody>
  approval?: z.infer<typeof ApprovalBody>
  agent?: z.infer<typeof AgentBody>
  task?: z.infer<typeof TaskBody>
  set?: Record<string, Json>
  switch?: { cases: { if: string | boolean; steps: StepsBody }[]; default?: { steps: StepsBody } }
  forEach?: { in: string | Json[]; as?: string; steps: StepsBody; concurrency: number; onItemError: 'fail' | 'continue' }
  loop?: { steps: StepsBody; while?: string | boolean; until?: string | boolean; max: number; delay?: string }
  workflow?: z.infer<typeof WorkflowBody>
  wait?: { for?: string; until?: string }
  waitFor?: z.infer<typeof WaitForBody>
  emit?: z.infer<typeof EmitBody>
  fail?: z.infer<typeof FailBody>
}
/** `steps` as a map (a graph) or a list (a sequence, each item with `id`). */
export type StepsBody = Record<string, StepBody> | (StepBody & { id: string })[]
export const Steps: z.ZodType<StepsBody> = z.lazy(() =>
  z.union([z.array(StepShape.extend({ id: z.string() })).min(1, 'at least one step'), z.record(z.string(), StepShape)]),
) as never
Steps.register(TYPE_NAMES, { name: 'steps' })

const SwitchBody = describedObject(meanings.SWITCH, {
  cases: z.array(describedObject(meanings.SWITCH_CASE, { if: Condition, steps: Steps })).min(1),
  default: describedObject(meanings.SWITCH_DEFAULT, { steps: Steps }).optional(),
})
const ForEachBody = describedObject(meanings.FOR_EACH, {
  in: z.union([Template, z.array(Json)]),
  as: z.string().regex(STEP_ID, 'must match ^[a-zA-Z_][a-zA-Z0-9_]{0,62}$').optional(),
  steps: Steps,
  concurrency: z.int().positive().default(10),
  onItemError: z.enum(['fail', 'continue']).default('fail'),
})
const LoopBody = describedObject(meanings.LOOP, {
  steps: Steps,
  while: Condition.optional(),
  until: Condition.optional(),
  max: z.int().positive().default(100),
  delay: DynamicDuration.optional(),
})

/** The body of each kind. */
export const KIND_BODIES = {
  http: HttpBody,
  approval: ApprovalBody,
  agent: AgentBody,
  task: TaskBody,
  set: z.record(z.string(), Json),
  switch: SwitchBody,
  forEach: ForEachBody,
  loop: LoopBody,
  workflow: WorkflowBody,
  wait: WaitBody,
  waitFor: WaitForBody,
  emit: EmitBody,
  fail: FailBody,
} satisfies Record<StepKind, z.ZodType>

/** One step: common keys and the body of exactly one kind (the engine checks that it is one). */
export const StepShape = CommonKeys.extend({
  http: HttpBody.optional().describe(KIND_SUMMARIES.http),
  approval: ApprovalBody.optional().describe(KIND_SUMMARIES.approval),
  agent: AgentBody.optional().describe(KIND_SUMMARIES.agent),
  task: TaskBody.optional().describe(KIND_SUMMARIES.task),
  set: KIND_BODIES.set.optional().describe(KIND_SUMMARIES.set),
  switch: SwitchBody.optional().describe(KIND_SUMMARIES.switch),
  forEach: ForEachBody.optional().describe(KIND_SUMMARIES.forEach),
  loop: LoopBody.optional().describe(KIND_SUMMARIES.loop),
  workflow: WorkflowBody.optional().describe(KIND_SUMMARIES.workflow),
  wait: WaitBody.optional().describe(KIND_SUMMARIES.wait),
  waitFor: WaitForBody.optional().describe(KIND_SUMMARIES.waitFor),
  emit: EmitBody.optional().describe(KIND_SUMMARIES.emit),
  fail: FailBody.optional().describe(KIND_SUMMARIES.fail),
})

export const Definition = describedObject(meanings.DEFINITION, {
  name: z.string().optional(),
  description: z.string().max(10_000).optional(),
  input: JsonSchema.optional(),
  timeout: Duration.optional(),
  concurrency: Concurrency.optional(),
  retention: Duration.optional(),
  steps: Steps,
  output: Json.optional(),
})
export type Definition = z.infer<typeof Definition>
