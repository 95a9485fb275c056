/**
 * `mock/<name>`: models that answer offline, at once and always the same, for tests, demos and dry runs. They speak the provider interface
 * of the AI SDK, so a turn takes the same way as with a real model.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Json } from '@baton/contracts'
import { APICallError, type LanguageModel } from 'ai'
import { sampleValue } from './sample-value.ts'

/** The provider interface that this version of the AI SDK speaks. */
export type Model = Extract<LanguageModel, { specificationVersion: 'v4' }>
type CallOptions = Parameters<Model['doGenerate']>[0]

const SLOW = /^slow-(\d+)$/
const FAIL = /^fail(?:-(\d{3}))?$/
const CHARS_PER_TOKEN = 4

/**
 * `mock/echo` and any other name give the prompt back; with an output schema every mock gives a value for it (`mock/json` a JSON value even
 * without). `mock/slow-<ms>` takes its time, `mock/fail` fails for good, `mock/fail-<status>` like a provider that answers with that status.
 */
export function createMockModel(name: string): Model {
  return {
    specificationVersion: 'v4',
    provider: 'mock',
    modelId: name,
    supportedUrls: {},
    async doGenerate(options) {
      const slow = SLOW.exec(name)
      if (slow) await delay(Number(slow[1]), undefined, { signal: options.abortSignal })
      failAsNamed(name)
      const prompt = promptOf(options)
      const text = answerOf(name, prompt, options)
      return {
        content: [{ type: 'text', text }],
        finishReason: { unified: 'stop', raw: 'stop' },
        usage: {
          inputTokens: { total: tokensIn(prompt), noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
          outputTokens: { total: tokensIn(text), text: undefined, reasoning: undefined },
        },
        warnings: [],
      }
    },
    doStream() {
      throw new Error('mock models do not stream')
    },
  }
}

/** What a text counts for, roughly: tokens of four characters, rounded up. */
export function tokensIn(text: string): number {
  return Math.ceil(text.length / CHARS_PER_TOKEN)
}

function answerOf(name: string, prompt: string, options: CallOptions): string {
  const format = options.responseFormat
  if (format?.type === 'json') return JSON.stringify(sampleValue((format.schema ?? {}) as Json))
  if (name === 'json') return JSON.stringify({ prompt })
  return prompt
}

function failAsNamed(name: string): void {
  const fail = FAIL.exec(name)
  if (!fail) return
  const statusCode = fail[1] === undefined ? 400 : Number(fail[1])
  throw new APICallError({ message: `${name} fails as told`, url: `mock://${name}`, requestBodyValues: {}, statusCode })
}

/** The text of the user's part of the prompt. */
function promptOf(options: CallOptions): string {
  return options.prompt
    .filter((message) => message.role === 'user')
    .flatMap((message) => message.content)
    .map((part) => (part.type === 'text' ? part.text : ''))
    .join('')
}
