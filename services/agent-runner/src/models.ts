/** From `provider/model` to a model of the AI SDK, its price, and what it can do. */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { createMockModel, type Model } from './mock-model.ts'

/** USD for a million tokens. */
export interface Price {
  input: number
  output: number
}

/** One OpenAI-compatible endpoint, as the setting AGENT_PROVIDERS has it. */
export interface Provider {
  baseUrl: string
  apiKey?: string | undefined
  headers?: Record<string, string> | undefined
  /** The endpoint takes `response_format: json_schema`; otherwise the schema is told in the instructions. Default true. */
  structuredOutputs?: boolean | undefined
}

export interface ResolvedModel {
  model: Model
  /** `provider/model`. */
  name: string
  /** Undefined = unknown: such a model cannot keep a budget in USD. */
  price: Price | undefined
  structuredOutputs: boolean
}

export interface Models {
  /** Undefined when the provider is unknown or the name is not `provider/model`. */
  resolve(name: string): ResolvedModel | undefined
  /** Names of the providers that are set up, `mock` first. */
  providers: string[]
}

/** Model names may hold further slashes: `groq/openai/gpt-oss-120b` is the model `openai/gpt-oss-120b` of the provider `groq`. */
export function createModels(providers: Record<string, Provider>, prices: Record<string, Price>): Models {
  const clients = new Map(
    Object.entries(providers).map(([name, provider]) => [
      name,
      createOpenAICompatible({
        name,
        baseURL: provider.baseUrl,
        ...(provider.apiKey === undefined ? {} : { apiKey: provider.apiKey }),
        ...(provider.headers === undefined ? {} : { headers: provider.headers }),
        supportsStructuredOutputs: provider.structuredOutputs ?? true,
      }),
    ]),
  )
  return {
    providers: ['mock', ...clients.keys()],
    resolve(name) {
      const slash = name.indexOf('/')
      if (slash < 1 || slash === name.length - 1) return undefined
      const [provider, model] = [name.slice(0, slash), name.slice(slash + 1)]
      if (provider === 'mock') return { model: createMockModel(model), name, price: { input: 0, output: 0 }, structuredOutputs: true }
      const client = clients.get(provider)
      if (!client) return undefined
      return {
        model: client.chatModel(model),
        name,
        price: prices[name],
        structuredOutputs: providers[provider]?.structuredOutputs ?? true,
      }
    },
  }
}
