/** Bodies, queries and answers of the controls of runs (CONTRACT §3-4): retry, replay, fork, patch; and of the audit. */
import { z } from 'zod'
import { Page, Run, RunFilter, Time } from './api.ts'
import { RunId } from './ids.ts'
import { Json } from './json.ts'
import { ProblemError } from './problem.ts'

const Reason = z.string().min(1).max(1_000)
export const RetryBody = z.strictObject({ reason: Reason.optional() })
export const ReplayBody = z.strictObject({
  reason: Reason,
  config: z.record(z.string(), Json).optional().describe("JSON Merge Patch (RFC 7396) of the body of the step's kind, for this run alone"),
})
export type ReplayBody = z.input<typeof ReplayBody>
const From = z.string().min(1).max(1_000).describe('id of a step at the top of the definition')
export const ForkBody = z.strictObject({ from: From, input: Json.optional().describe('replaces the whole') })
export type ForkBody = z.input<typeof ForkBody>
/** Which runs a call in bulk is about. */
export const BulkFilter = RunFilter.describe('as the filters of GET /runs; without status: failed, cancelled and timed_out ones')
/** One operation of a JSON Patch. */
export const PatchOperation = z.discriminatedUnion('op', [
  z.object({ op: z.literal('add'), path: z.string(), value: Json }),
  z.object({ op: z.literal('remove'), path: z.string() }),
  z.object({ op: z.literal('replace'), path: z.string(), value: Json }),
  z.object({ op: z.literal('move'), from: z.string(), path: z.string() }),
  z.object({ op: z.literal('copy'), from: z.string(), path: z.string() }),
  z.object({ op: z.literal('test'), path: z.string(), value: Json }),
])
export type PatchOperation = z.infer<typeof PatchOperation>
export const DefinitionPatch = z.array(PatchOperation).min(1).max(1_000).describe('JSON Patch (RFC 6902)')
export const DefinitionPatched = z.object({ definitionVersion: z.int() })
/** What became of each run of a call in bulk: `ok` is the run (of a fork: the new one), else `problem` says why not. */
export const BulkAnswer = z.object({
  items: z.array(
    z.object({
      run: RunId,
      ok: Run.optional(),
      problem: z.object({ status: z.int(), code: z.string(), detail: z.string(), errors: z.array(ProblemError).optional() }).optional(),
    }),
  ),
})
export type BulkAnswer = z.infer<typeof BulkAnswer>
export const AUDIT_ACTIONS = ['run.cancel', 'run.pause', 'run.resume', 'run.retry', 'run.replay', 'run.fork', 'run.patch'] as const
export type AuditAction = (typeof AUDIT_ACTIONS)[number]
export const AuditEntry = z.object({
  id: z.string(),
  at: Time,
  by: z.string().describe('id of the key'),
  action: z.enum(AUDIT_ACTIONS),
  run: RunId.nullable(),
  requestId: z.string().nullable(),
  data: z.record(z.string(), Json),
})
export type AuditEntry = z.infer<typeof AuditEntry>
export const AuditQuery = z.strictObject({
  run: z.string().optional(),
  by: z.string().optional(),
  action: z.enum(AUDIT_ACTIONS).optional(),
  since: Time.optional(),
  until: Time.optional(),
  ...Page.shape,
})
