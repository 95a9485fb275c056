/**
 * The definition of a workflow, as users write it (CONTRACT §2). Structure only: names, references, cycles and expressions are checked by
 * the engine. Editors get its JSON Schema from schemas/workflow.schema.json, generated from here.
 */
import { z } from 'zod'
import { NAME } from './api.ts'
import { parseDuration } from './durations.ts'
import { Json } from './json.ts'
import { Paginate } from './paginate.ts'
import type { StepKind } from './states.ts'

export const STEP_ID = /^[a-zA-Z_][a-zA-Z0-9_]{0,62}$/
export const RESERVED_STEP_IDS = ['in', 'true', 'false', 'null'] as const

export const Duration = z
  .string()
  .refine((text) => parseDuration(text) !== undefined, 'not a duration: write 500ms, 30s, 5m, 24h, 7d or PT5M')
  .describe('500ms, 30s, 5m, 24h, 7d or ISO 8601 PT5M')
/** A duration, or `${{ … }}` that gives one. */
const DynamicDuration = z
  .string()
  .refine((text) => text.includes('${{') || parseDuration(text) !== undefined, 'not a duration: write 500ms, 30s, 5m, 24h, 7d or PT5M')
/** A CEL expression, with or without `${{ }}`; `true` and `false` may stand bare in YAML. */
const Condition = z.union([z.string().min(1), z.boolean()])
/** Text with `${{ … }}` in it. */
const Template = z.string()
/** A text, or a number or boolean that is sent as text. */
const Scalar = z.union([z.string(), z.number(), z.boolean()])
const JsonSchema = z.union([z.record(z.string(), Json), z.boolean()])

export const Need = z.union([z.string(), z.strictObject({ step: z.string(), require: z.enum(['satisfied', 'succeeded']).optional() })])
export const Retry = z.strictObject({
  attempts: z.int().min(1).max(100).default(1),
  backoff: z.enum(['exponential', 'fixed']).default('exponential'),
  initial: Duration.default('1s'),
  max: Duration.default('60s'),
  jitter: z.union([z.literal('full'), z.boolean()]).default('full'),
  on: Condition.optional(),
})
export const OnError = z.union([z.enum(['fail', 'continue']), z.strictObject({ output: Json })])
export const Concurrency = z.strictObject({
  key: Template,
  limit: z.int().positive().default(1),
  onConflict: z.enum(['queue', 'reject', 'cancel-running']).default('queue'),
})

/** Keys of every step beside its kind. */
export const CommonKeys = z.strictObject({
  name: z.string().max(200).optional(),
  needs: z.union([Need, z.array(Need)]).optional(),
  if: Condition.optional(),
  join: z.enum(['all', 'any']).optional(),
  timeout: Duration.optional(),
  retry: Retry.optional(),
  onError: OnError.optional(),
  compensate: Json.optional().describe('a step body: one kind, and `retry`'),
})

export const HttpBody = z.strictObject({
  url: Template.min(1),
  method: z
    .string()
    .regex(/^([A-Za-z]+|\$\{\{[\s\S]*\}\})$/, 'not an HTTP method')
    .default('GET'),
  headers: z.record(z.string(), Scalar).optional(),
  query: z.record(z.string(), z.union([Scalar, z.array(Scalar)])).optional(),
  body: Json.optional(),
  auth: z
    .union([
      z.strictObject({ bearer: Template }),
      z.strictObject({ basic: z.strictObject({ username: Template, password: Template }) }),
      z.strictObject({
        apiKey: z.strictObject({ in: z.enum(['header', 'query']).default('header'), name: z.string().min(1), value: Template }),
      }),
      z.strictObject({
        oauth2: z.strictObject({
          tokenUrl: Template,
          clientId: Template,
          clientSecret: Template,
          scope: Template.optional(),
          audience: Template.optional(),
          clientAuth: z.enum(['basic', 'body']).default('basic').describe('how the client shows who it is (RFC 6749 §2.3.1)'),
        }),
      }),
    ])
    .optional(),
  expect: z
    .strictObject({
      status: z
        .union([z.int(), z.string(), z.array(z.union([z.int(), z.string()])).min(1)])
        .refine((v) => [v].flat().every((s) => /^[1-5](\d\d|xx)$/.test(String(s))), 'a status such as 200, or a class such as "2xx"')
        .optional(),
      schema: JsonSchema.optional(),
    })
    .optional(),
  response: z.enum(['auto', 'json', 'text', 'base64']).default('auto'),
  maxBytes: z.int().positive().optional(),
  redirect: z.union([z.enum(['follow', 'manual', 'error']), z.boolean()]).optional(),
  paginate: Paginate.optional(),
  callback: z.boolean().optional(),
})

const ApprovalOptionBody = z.strictObject({
  id: z.string().min(1).max(63),
  title: z.string().optional(),
  approves: z.boolean().optional(),
  rejects: z.boolean().optional(),
})
export const ApprovalBody = z.strictObject({
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
  notify: z
    .union([z.record(z.string(), Json), z.array(z.record(z.string(), Json))])
    .describe('{ webhook: { url, headers? } }, { slack: … } or { email: … }, or a list of them')
    .optional(),
})

export const AgentBody = z.strictObject({
  model: Template.min(1),
  instructions: Template.optional(),
  prompt: Template.min(1),
  tools: z.array(Json).optional(),
  output: JsonSchema.optional(),
  maxTurns: z.int().positive().optional(),
  budget: z.strictObject({ usd: z.number().positive().optional(), tokens: z.int().positive().optional() }).optional(),
  approve: z.array(z.string()).optional(),
  session: Template.optional(),
})
const TaskBody = z.strictObject({
  capabilities: z.array(z.string()).min(1),
  payload: Json.optional(),
  lease: Duration.default('60s'),
  priority: z.int().min(0).max(9).default(5),
})
const WorkflowBody = z.strictObject({
  name: z.string().regex(NAME, 'must match ^[a-z0-9][a-z0-9-]{0,62}$'),
  version: z.int().positive().optional(),
  tag: z.string().optional(),
  input: Json.optional(),
  wait: z.boolean().default(true),
})
const WaitBody = z
  .strictObject({ for: DynamicDuration.optional(), until: Template.optional() })
  .refine((body) => (body.for === undefined) !== (body.until === undefined), 'give exactly one of for and until')
const WaitForBody = z.strictObject({
  event: Template.min(1),
  where: Condition.optional(),
  timeout: DynamicDuration.optional(),
  onTimeout: z.enum(['fail', 'continue']).default('fail'),
})
const EmitBody = z.strictObject({ type: Template.min(1), subject: Template.optional(), data: Json.optional() })
const FailBody = z.strictObject({ code: Template.optional(), message: Template.optional() })

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

const SwitchBody = z.strictObject({
  cases: z.array(z.strictObject({ if: Condition, steps: Steps })).min(1),
  default: z.strictObject({ steps: Steps }).optional(),
})
const ForEachBody = z.strictObject({
  in: z.union([Template, z.array(Json)]),
  as: z.string().regex(STEP_ID, 'must match ^[a-zA-Z_][a-zA-Z0-9_]{0,62}$').optional(),
  steps: Steps,
  concurrency: z.int().positive().default(10),
  onItemError: z.enum(['fail', 'continue']).default('fail'),
})
const LoopBody = z.strictObject({
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
  http: HttpBody.optional(),
  approval: ApprovalBody.optional(),
  agent: AgentBody.optional(),
  task: TaskBody.optional(),
  set: KIND_BODIES.set.optional(),
  switch: SwitchBody.optional(),
  forEach: ForEachBody.optional(),
  loop: LoopBody.optional(),
  workflow: WorkflowBody.optional(),
  wait: WaitBody.optional(),
  waitFor: WaitForBody.optional(),
  emit: EmitBody.optional(),
  fail: FailBody.optional(),
})

export const Definition = z.strictObject({
  name: z.string().optional(),
  description: z.string().max(10_000).optional(),
  input: JsonSchema.optional(),
  timeout: Duration.optional(),
  concurrency: Concurrency.optional(),
  retention: Duration.optional().describe(
    'how long ended runs of the workflow are kept, by its newest version; at least 24 hours from their start',
  ),
  steps: Steps,
  output: Json.optional(),
})
export type Definition = z.infer<typeof Definition>
