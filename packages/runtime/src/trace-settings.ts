/** Settings of tracing: those variables of OpenTelemetry that make sense here, under their own names (https://opentelemetry.io/docs/specs/otel/configuration/). */
import { z } from 'zod'
import { wholeNumber } from './settings.ts'

export const SAMPLERS = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const

const HTTP_URL = z.string().refine((text) => /^https?:$/.test(URL.parse(text)?.protocol ?? ''), 'a URL: http://… or https://…')

/** `name=value,name=value` with percent-encoded values, as W3C Baggage has it. */
const pairs = z.string().transform((text, ctx) => {
  const found: Record<string, string> = {}
  for (const item of text.split(',')) {
    if (item.trim() === '') continue
    const at = item.indexOf('=')
    const value = at < 1 ? undefined : decode(item.slice(at + 1).trim())
    if (value === undefined) {
      // What is wrong may be a secret: it is counted, not shown.
      ctx.addIssue({ code: 'custom', message: 'name=value,name=value, values percent-encoded' })
      return z.NEVER
    }
    found[item.slice(0, at).trim()] = value
  }
  return found
})

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/** Every service takes these into its own settings. Without an endpoint nothing is exported, and nothing of OpenTelemetry is loaded. */
export const traceSettings = {
  OTEL_EXPORTER_OTLP_ENDPOINT: HTTP_URL.optional().describe(
    'where spans go: the HTTP address of a collector, such as http://127.0.0.1:4318',
  ),
  OTEL_EXPORTER_OTLP_HEADERS: pairs.optional().describe('headers of each export, as name=value,name=value'),
  OTEL_EXPORTER_OTLP_PROTOCOL: z
    .enum(
      ['http/protobuf', 'http/json'],
      'http/protobuf or http/json; gRPC is not spoken here: name the HTTP port of the collector, mostly 4318',
    )
    .default('http/protobuf')
    .describe('how spans are written'),
  OTEL_EXPORTER_OTLP_COMPRESSION: z.enum(['none', 'gzip'], 'none or gzip').default('none').describe('whether exports are compressed'),
  OTEL_EXPORTER_OTLP_TIMEOUT: wholeNumber(100, 600_000)
    .default(10_000)
    .describe('ms that an export may take, tries after a failure included'),
  OTEL_SERVICE_NAME: z.string().optional().describe('service.name of the spans; that of the service by default'),
  OTEL_RESOURCE_ATTRIBUTES: pairs.default({}).describe('attributes of all spans, as name=value,name=value'),
  OTEL_TRACES_SAMPLER: z
    .enum(SAMPLERS, `one of ${SAMPLERS.join(', ')}`)
    .default('parentbased_always_on')
    .describe('which traces are exported'),
  OTEL_TRACES_SAMPLER_ARG: z
    .string()
    .refine((text) => /^\d*\.?\d+$/.test(text) && Number(text) <= 1, 'a number from 0 to 1')
    .transform(Number)
    .default(1)
    .describe('the share of traces that a ratio sampler takes'),
  OTEL_BSP_MAX_QUEUE_SIZE: wholeNumber(1, 1_000_000)
    .default(2_048)
    .describe('spans that may wait for their export; further ones are dropped'),
  OTEL_BSP_MAX_EXPORT_BATCH_SIZE: wholeNumber(1, 100_000).default(512).describe('spans of one export'),
  OTEL_BSP_SCHEDULE_DELAY: wholeNumber(1, 600_000).default(5_000).describe('ms that a span waits for others to be exported with'),
} as const

export type TraceSettings = z.output<z.ZodObject<typeof traceSettings>>
