/** Bodies, queries and answers of the REST API (CONTRACT §4). Requests are strict: an unknown field is an error at its own place. */
import { z } from 'zod'
import { CloudEvent } from './events.ts'
import { ApprovalId, RunId } from './ids.ts'
import { BatonError, Json } from './json.ts'
import { LIMITS } from './limits.ts'
import { ProblemError } from './problem.ts'
import { APPROVAL_STATUSES, ROLES, RUN_STATUSES, STEP_KINDS, STEP_STATUSES } from './states.ts'

export const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/
export const Name = z.string().regex(NAME, 'must match ^[a-z0-9][a-z0-9-]{0,62}$')
export const Time = z.iso.datetime().describe('RFC 3339 UTC with milliseconds')
const Labels = z
  .record(z.string().min(1).max(63), z.string().max(255))
  .refine((labels) => Object.keys(labels).length <= LIMITS.labelsMax, `at most ${LIMITS.labelsMax} labels`)

export const Page = z.object({
  limit: z.coerce.number().int().min(1).max(LIMITS.listMax).default(LIMITS.listDefault),
  cursor: z.string().max(500).optional(),
})
/** The shape of every list. */
export function listOf<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), nextCursor: z.string().nullable() })
}

// --- workflows
export const Finding = ProblemError.extend({ code: z.string().optional() })
export type Finding = z.infer<typeof Finding>
export const WorkflowSaved = z.object({ name: Name, version: z.int(), checksum: z.string(), warnings: z.array(Finding) })
export type WorkflowSaved = z.infer<typeof WorkflowSaved>
export const WorkflowSummary = z.object({
  name: Name,
  description: z.string().nullable(),
  version: z.int().describe('the highest'),
  tags: z.record(z.string(), z.int()),
  canaryPercent: z.int().optional().describe('share of runs that take the tag canary when nothing else is named'),
  archived: z.boolean(),
  createdAt: Time,
  updatedAt: Time,
})
export type WorkflowSummary = z.infer<typeof WorkflowSummary>
export const WorkflowVersion = z.object({ name: Name, version: z.int(), checksum: z.string(), createdAt: Time, createdBy: z.string() })
export type WorkflowVersion = z.infer<typeof WorkflowVersion>
export const WorkflowVersionDetail = WorkflowVersion.extend({ definition: Json })
export type WorkflowVersionDetail = z.infer<typeof WorkflowVersionDetail>
export const WorkflowDetail = WorkflowSummary.extend({ checksum: z.string(), definition: Json })
export type WorkflowDetail = z.infer<typeof WorkflowDetail>
export const Graph = z.object({
  nodes: z.array(
    z.object({
      id: z.string().describe('step path without indexes'),
      kind: z.enum(STEP_KINDS),
      name: z.string(),
      parent: z.string().nullable(),
      status: z.enum(STEP_STATUSES).optional(),
      counts: z.record(z.string(), z.int()).optional(),
    }),
  ),
  edges: z.array(z.object({ from: z.string(), to: z.string(), require: z.enum(['satisfied', 'succeeded']) })),
})
export type Graph = z.infer<typeof Graph>
export const Validation = z.object({ valid: z.boolean(), errors: z.array(Finding), warnings: z.array(Finding), graph: Graph.nullable() })
export type Validation = z.infer<typeof Validation>
export const TagBody = z.strictObject({
  version: z.int().positive(),
  percent: z.int().min(0).max(100).optional().describe('of the tag canary: the share of runs that take it when nothing else is named'),
})

// --- runs
export const StartRun = z.strictObject({
  input: Json.optional(),
  version: z.int().positive().optional(),
  tag: Name.optional(),
  labels: Labels.optional(),
  priority: z.int().min(0).max(9).optional(),
})
export type StartRun = z.infer<typeof StartRun>
export const StartRuns = z.strictObject({
  items: z
    .array(
      z.strictObject({
        input: Json.optional(),
        labels: Labels.optional(),
        idempotencyKey: z.string().min(1).max(LIMITS.idempotencyKeyCharsMax).optional(),
      }),
    )
    .min(1)
    .max(LIMITS.batchRunsMax),
})
export const Run = z.object({
  id: RunId,
  namespace: z.string(),
  workflow: z.string(),
  version: z.int(),
  status: z.enum(RUN_STATUSES),
  ending: z.enum(['failed', 'cancelled', 'timed_out']).optional(),
  input: Json,
  output: Json,
  error: BatonError.nullable(),
  labels: z.record(z.string(), z.string()),
  priority: z.int(),
  createdAt: Time,
  startedAt: Time.nullable(),
  endedAt: Time.nullable(),
  lastSeq: z.int(),
  forkedFrom: RunId.optional(),
  parent: z.object({ run: RunId, step: z.string() }).optional(),
})
export type Run = z.infer<typeof Run>
export const Step = z.object({
  path: z.string(),
  kind: z.enum(STEP_KINDS),
  name: z.string(),
  status: z.enum(STEP_STATUSES),
  generation: z.int(),
  attempt: z.int(),
  input: Json.optional(),
  output: Json,
  error: BatonError.nullable(),
  startedAt: Time.nullable(),
  endedAt: Time.nullable(),
  waitingFor: Json.optional(),
})
export type Step = z.infer<typeof Step>
const StatusFilter = z
  .union([z.string(), z.array(z.string())])
  .transform((value) => [value].flat().flatMap((text) => text.split(',')))
  .pipe(z.array(z.enum(RUN_STATUSES)))
const LabelFilter = z
  .union([z.string(), z.array(z.string())])
  .transform((value) => [value].flat())
  .pipe(z.array(z.string().regex(/^[^:]+:.*$/s, 'must be key:value')))
export const RunFilter = z.strictObject({
  workflow: z.string().optional(),
  status: StatusFilter.optional(),
  label: LabelFilter.optional(),
  since: Time.optional(),
  until: Time.optional(),
})
export type RunFilter = z.infer<typeof RunFilter>
export const RunListQuery = RunFilter.extend(Page.shape)
export const RunCount = z.object({ count: z.int() })
export const StuckRuns = listOf(Run).extend({
  complete: z.boolean().describe('false: further runs are not looked at yet, `nextCursor` goes on there'),
})
export const EventsQuery = z.strictObject({
  after: z.coerce.number().int().nonnegative().default(0),
  limit: z.coerce.number().int().min(1).max(LIMITS.listEventsMax).default(LIMITS.listDefault),
  cursor: z.string().max(500).optional(),
})
export const EventList = listOf(CloudEvent)
export const Why = z.object({
  items: z.array(
    z.object({
      step: z.string().nullable().describe('null for what holds the whole run'),
      status: z.string(),
      since: Time,
      reason: z.string(),
      movableBy: z.array(z.string()).describe('who or what can move it: user:, group:, role:, worker:, capability:, service:<name>, timer'),
    }),
  ),
})
export type Why = z.infer<typeof Why>
export const RunDefinition = z.object({ definitionVersion: z.int(), checksum: z.string(), definition: Json })
export type RunDefinition = z.infer<typeof RunDefinition>

// --- approvals
export const ApprovalOption = z.object({
  id: z.string(),
  title: z.string().optional(),
  approves: z.boolean().optional(),
  rejects: z.boolean().optional(),
})
export type ApprovalOption = z.infer<typeof ApprovalOption>
export const Vote = z.object({ by: z.string(), decision: z.string(), comment: z.string().nullable(), data: Json, at: Time })
export const Approval = z.object({
  id: ApprovalId,
  run: RunId,
  step: z.string(),
  status: z.enum(APPROVAL_STATUSES),
  title: z.string(),
  description: z.string().nullable(),
  data: Json,
  form: Json,
  options: z.array(ApprovalOption),
  assignees: z.array(z.string()),
  quorum: z.union([z.int().positive(), z.literal('all')]),
  decisions: z.array(Vote),
  decision: z.string().nullable(),
  createdAt: Time,
  deadline: Time.nullable(),
})
export type Approval = z.infer<typeof Approval>
export const DecisionBody = z.strictObject({
  decision: z.string().min(1),
  comment: z.string().max(10_000).optional(),
  data: Json.optional(),
})
export type DecisionBody = z.infer<typeof DecisionBody>
export const ApprovalListQuery = z.strictObject({
  status: z.enum(APPROVAL_STATUSES).optional(),
  assignee: z.string().optional().describe('`me` = those that the caller may decide'),
  run: z.string().optional(),
  ...Page.shape,
})

// --- keys, secrets, vars
export const NewApiKey = z.strictObject({
  name: z.string().min(1).max(63),
  role: z.enum(ROLES),
  groups: z.array(z.string().min(1).max(63)).max(50).default([]),
  namespace: Name.optional().describe('admin only; default: that of the caller'),
})
export type NewApiKey = z.input<typeof NewApiKey>
export const ApiKey = z.object({
  id: z.string(),
  name: z.string(),
  role: z.enum(ROLES),
  groups: z.array(z.string()),
  namespace: z.string(),
  createdAt: Time,
  revokedAt: Time.nullable(),
})
export type ApiKey = z.infer<typeof ApiKey>
export const ApiKeyCreated = ApiKey.extend({ key: z.string().describe('shown once') })
export type ApiKeyCreated = z.infer<typeof ApiKeyCreated>
export const VariableName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,62}$/, 'must match ^[A-Za-z_][A-Za-z0-9_]{0,62}$')
export const SecretBody = z.strictObject({ value: z.string().min(1).max(65_536) })
export const SecretInfo = z.object({ name: z.string(), updatedAt: Time })
export type SecretInfo = z.infer<typeof SecretInfo>
export const VarBody = z.strictObject({ value: Json })
export const VarInfo = z.object({ name: z.string(), value: Json, updatedAt: Time })
export type VarInfo = z.infer<typeof VarInfo>

// --- status
export const Status = z.object({
  services: z.array(
    z.object({
      name: z.string(),
      replicas: z.array(z.object({ id: z.string(), url: z.string(), version: z.string(), seenMsAgo: z.number() })),
    }),
  ),
  queues: z.record(z.string(), z.int()),
  activeLocks: z.int(),
  webSocketClients: z.int(),
  mcpTools: z.array(z.string()),
})
