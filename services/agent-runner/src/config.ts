import { LIMITS } from '@baton/contracts'
import { commonSettings, databaseSettings, traceSettings, wholeNumber } from '@baton/runtime'
import { z } from 'zod'
import type { Price, Provider } from './models.ts'

const ProviderSetting = z.strictObject({
  baseUrl: z.url({ protocol: /^https?$/ }),
  apiKey: z.string().min(1).optional(),
  headers: z.record(z.string(), z.string()).optional(),
  structuredOutputs: z.boolean().optional(),
})
const PriceSetting = z.strictObject({ input: z.number().nonnegative(), output: z.number().nonnegative() })

/** Settings of the agent-runner, by the names of their environment variables. README.md says what each is for. */
export const Settings = z.object({
  ...traceSettings,
  ...databaseSettings,
  REDIS_URL: commonSettings.REDIS_URL,
  HOST: commonSettings.HOST,
  PORT: commonSettings.PORT.default(8086),
  LOG_LEVEL: commonSettings.LOG_LEVEL,
  OPENAI_BASE_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('an OpenAI-compatible endpoint, such as https://api.openai.com/v1'),
  OPENAI_API_KEY: z.string().min(1).optional().describe('its key'),
  AGENT_PROVIDERS: jsonOf(z.record(z.string().regex(/^[a-z0-9][a-z0-9-]*$/), ProviderSetting))
    .default({})
    .describe('JSON object: provider name → { baseUrl, apiKey?, headers?, structuredOutputs? }'),
  AGENT_PRICES: jsonOf(z.record(z.string(), PriceSetting))
    .default({})
    .describe('JSON object: provider/model → { input, output } in USD for a million tokens'),
  AGENT_CONCURRENCY: wholeNumber(1, 10_000).default(20).describe('turns at once'),
  AGENT_CLAIM_MS: wholeNumber(100, 600_000).default(6_000).describe('how long the claim on a turn outlives its holder'),
  BATON_INLINE_PAYLOAD_BYTES_MAX: wholeNumber(1, 1e9).default(LIMITS.inlinePayloadBytesMax),
  BATON_STEP_OUTPUT_BYTES_MAX: wholeNumber(1, 1e9).default(LIMITS.stepOutputBytesMax),
})
export type Settings = z.infer<typeof Settings>

const OPENAI = 'https://api.openai.com/v1'

/** The providers that the settings set up: those of AGENT_PROVIDERS, and `openai` and `openai-compatible` from the OPENAI_ settings. */
export function providersOf(settings: Settings): Record<string, Provider> {
  const { OPENAI_BASE_URL: baseUrl, OPENAI_API_KEY: apiKey } = settings
  if (baseUrl === undefined && apiKey === undefined) return settings.AGENT_PROVIDERS
  const openai: Provider = { baseUrl: baseUrl ?? OPENAI, apiKey }
  return { openai, 'openai-compatible': openai, ...settings.AGENT_PROVIDERS }
}

/** The prices that the settings know, by `provider/model`. */
export function pricesOf(settings: Settings): Record<string, Price> {
  return settings.AGENT_PRICES
}

function jsonOf<T extends z.ZodType>(schema: T) {
  return z
    .string()
    .transform((text, ctx) => {
      try {
        return JSON.parse(text) as unknown
      } catch {
        ctx.addIssue({ code: 'custom', message: 'JSON' })
        return z.NEVER
      }
    })
    .pipe(schema as z.ZodType<z.output<T>>)
}
