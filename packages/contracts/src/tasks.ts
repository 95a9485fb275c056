/** Tasks (CONTRACT §1, §4): units of work that `task` steps offer to outside programs, and the calls by which those take and end them. */
import { z } from 'zod'
import { listOf, Page, Time } from './api.ts'
import { RunId, TaskId } from './ids.ts'
import { BatonError, Json } from './json.ts'
import { TASK_STATUSES } from './states.ts'

/** Names of a task's capabilities: how many, and how long. */
export const TASK_CAPABILITIES_MAX = 20
export const TASK_CAPABILITY_CHARS_MAX = 100
/** Leases, in ms. */
export const TASK_LEASE_MS_MIN = 100
export const TASK_LEASE_MS_MAX = 7 * 86_400_000

const Capability = z.string().min(1).max(TASK_CAPABILITY_CHARS_MAX)

export const Task = z.object({
  id: TaskId,
  run: RunId,
  step: z.string().describe('step path'),
  workflow: z.string(),
  generation: z.int(),
  attempt: z.int().describe('each attempt of the step is a task of its own'),
  status: z.enum(TASK_STATUSES),
  capabilities: z.array(z.string()).describe('what a worker must be able to do; it must have all of them'),
  payload: Json.describe('in lists a large one stands as {"$blob", "bytes"}; a single task has it whole'),
  priority: z.int().describe('0 to 9; the higher is taken first'),
  leaseMs: z.int().describe('a claim ends so many ms after its last sign of life'),
  claimedBy: z.string().nullable().describe('name of the key that holds the task, or held it when it ended'),
  claimedAt: Time.nullable(),
  leaseUntil: Time.nullable().describe('until then nobody else can claim it'),
  fencingToken: z
    .int()
    .nullable()
    .describe('number of the last claim, from 1. Send it with calls on a claim: whoever has lost the claim meanwhile is then told so'),
  reservedFor: z.string().nullable().describe('handed to this key: no other worker can claim it'),
  progress: z.object({ percent: z.number().nullable(), note: z.string().nullable(), data: Json, at: Time }).nullable(),
  handoff: z
    .object({ by: z.string(), to: z.string().nullable(), reason: z.string(), context: Json, at: Time })
    .nullable()
    .describe('what the last one who handed it on left for the next'),
  leaseExpiries: z.int().describe('how often a holder fell silent'),
  output: Json,
  error: BatonError.nullable(),
  createdAt: Time,
  endedAt: Time.nullable(),
})
export type Task = z.infer<typeof Task>
export const TaskList = listOf(Task)

const oneOrMore = z.union([z.string(), z.array(z.string())]).transform((value) => [value].flat().flatMap((text) => text.split(',')))

export const TaskListQuery = z.strictObject({
  capability: oneOrMore
    .pipe(z.array(Capability).max(TASK_CAPABILITIES_MAX))
    .optional()
    .describe('tasks that ask for it; comma or repeated: for one of them'),
  status: oneOrMore
    .pipe(z.array(z.enum(TASK_STATUSES)))
    .optional()
    .describe('comma or repeated'),
  run: z.string().optional(),
  ...Page.shape,
})

const FencingToken = z.int().positive().optional().describe('that of the claim; without it the key alone proves who holds the task')

export const ClaimNextBody = z.strictObject({
  capabilities: z.array(Capability).min(1).max(TASK_CAPABILITIES_MAX).describe('all that the worker can do'),
})
export type ClaimNextBody = z.input<typeof ClaimNextBody>
export const ProgressBody = z.strictObject({
  percent: z.number().min(0).max(100).optional(),
  note: z.string().max(1_000).optional(),
  data: Json.optional(),
  fencingToken: FencingToken,
})
export type ProgressBody = z.infer<typeof ProgressBody>
export const CompleteBody = z.strictObject({ output: Json.optional().describe('null when absent'), fencingToken: FencingToken })
export type CompleteBody = z.infer<typeof CompleteBody>
export const FailBody = z.strictObject({
  error: z.strictObject({
    code: z
      .string()
      .regex(/^[A-Za-z][A-Za-z0-9_.-]{0,99}$/, 'must begin with a letter and hold letters, digits, _ . - (at most 100)')
      .default('BTN_TASK_FAILED'),
    message: z.string().min(1).max(10_000),
  }),
  retryable: z.boolean().default(true).describe('whether `retry` of the step may try again'),
  fencingToken: FencingToken,
})
export type FailBody = z.input<typeof FailBody>
export const ReleaseBody = z.strictObject({ fencingToken: FencingToken })
export type ReleaseBody = z.infer<typeof ReleaseBody>
export const HandoffBody = z.strictObject({
  to: z.string().min(1).max(100).optional().describe('name or id of an API key of the namespace'),
  capabilities: z.array(Capability).min(1).max(TASK_CAPABILITIES_MAX).optional().describe('what the next worker must be able to do'),
  reason: z.string().min(1).max(1_000),
  context: Json.optional().describe('what the next one should know'),
  fencingToken: FencingToken,
})
export type HandoffBody = z.infer<typeof HandoffBody>
