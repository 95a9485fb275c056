/** Bodies and queries of the contract as this service reads them: JSON is not walked twice, and texts that Postgres cannot hold are refused. */
import { DecisionBody, type Json, NewApiKey, Page, ReplayBody, StartRun, StartRuns, VarBody } from '@baton/contracts'
import { z } from 'zod'
import { isStorable, UNSTORABLE } from './storable.ts'

/** What JSON.parse gave is JSON: there is nothing to check. */
export const AnyJson = z.unknown() as unknown as z.ZodType<Json>

const Labels = StartRun.shape.labels
  .unwrap()
  .refine((labels) => Object.entries(labels).every(([key, value]) => isStorable(key) && isStorable(value)), UNSTORABLE)

export const StartBody = StartRun.extend({ input: AnyJson.optional().default({}), labels: Labels.optional() }).refine(
  (body) => body.version === undefined || body.tag === undefined,
  { path: ['tag'], message: 'name a version or a tag, not both' },
)
export type StartBody = z.output<typeof StartBody>

/** The body of a batch of at most `runsMax` runs. */
export function batchBody(runsMax: number) {
  const Item = StartRuns.shape.items.element.extend({
    input: AnyJson.optional().default({}),
    labels: Labels.optional(),
    idempotencyKey: StartRuns.shape.items.element.shape.idempotencyKey.unwrap().refine(isStorable, UNSTORABLE).optional(),
  })
  return z.strictObject({ items: z.array(Item).min(1).max(runsMax) })
}

/** A text that Postgres can hold. */
export function storableText(text: z.ZodString) {
  return text.refine(isStorable, UNSTORABLE)
}

export const ReplayRequest = ReplayBody.extend({
  reason: storableText(ReplayBody.shape.reason),
  config: z.record(z.string(), AnyJson).optional(),
})

export const VoteBody = DecisionBody.extend({
  comment: DecisionBody.shape.comment.unwrap().refine(isStorable, UNSTORABLE).optional(),
  data: AnyJson.optional(),
})
export const VariableBody = VarBody.extend({ value: AnyJson }).refine((body) => body.value !== undefined, {
  path: ['value'],
  message: 'is required',
})
export const ApiKeyBody = NewApiKey.extend({
  name: NewApiKey.shape.name.refine(isStorable, UNSTORABLE),
  groups: z.array(z.string().min(1).max(63).refine(isStorable, UNSTORABLE)).max(50).default([]),
})
/** The query of lists that take nothing else. */
export const PageQuery = z.strictObject(Page.shape)
