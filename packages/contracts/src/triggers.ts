/** What starts runs from outside: schedules, triggers (webhooks and events), and the events themselves. */
import { z } from 'zod'
import { Name, StartRun, VariableName } from './api.ts'
import { RunId } from './ids.ts'
import { Json } from './json.ts'

const Time = z.iso.datetime().describe('RFC 3339 UTC with milliseconds')
const LastError = z.object({ message: z.string(), at: Time }).describe('why the last try to start a run failed')

/** What every trigger and schedule says of the runs that it starts. */
const started = {
  workflow: Name,
  version: StartRun.shape.version,
  tag: StartRun.shape.tag,
  labels: StartRun.shape.labels,
  priority: StartRun.shape.priority,
  enabled: z.boolean().default(true),
}

// --- schedules
export const CATCH_UPS = ['skip', 'last', 'all'] as const
export type CatchUp = (typeof CATCH_UPS)[number]

export const ScheduleBody = z.strictObject({
  ...started,
  cron: z.string().min(1).max(200).describe('five fields, or six with seconds first; @hourly and the like'),
  timezone: z.string().min(1).max(100).default('UTC').describe('IANA time zone'),
  input: Json.optional().describe('may hold ${{ schedule.slot }} and ${{ schedule.name }}; default {}'),
  catchUp: z.enum(CATCH_UPS).default('skip').describe('what becomes of slots that came while nobody could fire them'),
})
export type ScheduleBody = z.output<typeof ScheduleBody>
/** As it is sent: what has a default may be left out. */
export type NewSchedule = z.input<typeof ScheduleBody>

export const Schedule = z.object({
  name: Name,
  ...started,
  enabled: z.boolean(),
  cron: z.string(),
  timezone: z.string(),
  input: Json,
  catchUp: z.enum(CATCH_UPS),
  nextAt: Time.nullable().describe('null: not enabled, or no slot will ever come'),
  lastAt: Time.nullable().describe('the newest slot that started a run'),
  lastRun: RunId.nullable(),
  lastError: LastError.nullable(),
  createdAt: Time,
  updatedAt: Time,
})
export type Schedule = z.infer<typeof Schedule>

// --- triggers
const HeaderName = z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/, 'must be the name of a header')
const secret = VariableName.describe('name of a secret of Baton')
const toleranceSeconds = z.int().min(1).max(86_400).default(300).describe('how old a signature may be')

export const HOOK_STYLES = ['github', 'stripe', 'slack', 'hmac'] as const
export type HookStyle = (typeof HOOK_STYLES)[number]

export const HmacVerify = z.strictObject({
  secret,
  header: HeaderName.describe('header that holds the signature of the body'),
  algorithm: z.enum(['sha256', 'sha512']).default('sha256'),
  encoding: z.enum(['hex', 'base64']).default('hex'),
  prefix: z.string().max(100).default('').describe('what stands before the signature, such as `sha256=`'),
})
export type HmacVerify = z.output<typeof HmacVerify>

export const Verify = z.union(
  [
    z.literal('none'),
    z.strictObject({ github: z.strictObject({ secret }) }),
    z.strictObject({ stripe: z.strictObject({ secret, toleranceSeconds }) }),
    z.strictObject({ slack: z.strictObject({ secret, toleranceSeconds }) }),
    z.strictObject({ hmac: HmacVerify }),
  ],
  { error: 'must be none, or one of github, stripe, slack and hmac with the name of its secret' },
)
export type Verify = z.output<typeof Verify>

const Condition = z.string().min(1).max(10_000)

export const WebhookBody = z.strictObject({
  type: z.literal('webhook'),
  ...started,
  verify: Verify.describe('how a delivery proves where it comes from'),
  where: Condition.optional().describe('CEL over body, headers and query: deliveries that do not match start nothing'),
  input: Json.optional().describe('mapping over body, headers and query; default: the body'),
  deliveryHeader: HeaderName.optional().describe('header that names a delivery, which then starts one run however often it comes'),
})
export type WebhookBody = z.output<typeof WebhookBody>

/** Type of a CloudEvent. */
export const EventTypeName = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[^\s\p{Cc}]+$/u, 'holds no spaces')

export const EventTriggerBody = z.strictObject({
  type: z.literal('event'),
  ...started,
  event: EventTypeName.describe('type of the CloudEvents'),
  where: Condition.optional().describe('CEL over event'),
  input: Json.optional().describe('mapping over event; default: the event'),
})
export type EventTriggerBody = z.output<typeof EventTriggerBody>

export const TriggerBody = z.discriminatedUnion('type', [WebhookBody, EventTriggerBody])
export type TriggerBody = z.output<typeof TriggerBody>
/** As it is sent: what has a default may be left out. */
export type NewTrigger = z.input<typeof TriggerBody>

const told = { name: Name, enabled: z.boolean(), lastError: LastError.nullable(), createdAt: Time, updatedAt: Time }
export const Trigger = z.discriminatedUnion('type', [
  z.object({ ...WebhookBody.shape, verify: Json, ...told }),
  z.object({ ...EventTriggerBody.shape, ...told }),
])
export type Trigger = z.infer<typeof Trigger>

const shown = {
  token: z.string().optional().describe('of a webhook, shown once'),
  url: z.string().optional().describe('where deliveries go: /hooks/<token>'),
}
export const TriggerSaved = z.discriminatedUnion('type', [
  z.object({ ...WebhookBody.shape, verify: Json, ...told, ...shown }),
  z.object({ ...EventTriggerBody.shape, ...told }),
])
export type TriggerSaved = z.infer<typeof TriggerSaved>

/** The answer to a delivery: the run that it started, or started before; null when it did not match. */
export const HookAccepted = z.object({ run: RunId.nullable() })
export type HookAccepted = z.infer<typeof HookAccepted>

// --- events
/** An event from outside (CloudEvents 1.0); any further attribute is an extension. */
export const CustomEvent = z.looseObject({
  specversion: z.literal('1.0'),
  id: z.string(),
  source: z.string().describe('URI reference'),
  type: z.string(),
  subject: z.string().optional(),
  time: z.iso.datetime({ offset: true }).optional(),
  datacontenttype: z.string().optional(),
  dataschema: z.string().optional(),
  data: Json.optional(),
  data_base64: z.string().optional(),
})
export type CustomEvent = z.infer<typeof CustomEvent>

export const EventsAccepted = z.object({ accepted: z.int(), duplicates: z.int() })
export type EventsAccepted = z.infer<typeof EventsAccepted>
