/** One prompt, one answer. */
import type { AgentTurn, InboxFact, Json } from '@baton/contracts'
import { validateAgainst } from '@baton/engine'
import { generateText, jsonSchema, NoObjectGeneratedError, Output } from 'ai'
import { allowanceOf, overspendOf, type Usage, usageOf } from './budget.ts'
import { explainFailure, failed } from './explain-failure.ts'
import type { Models, ResolvedModel } from './models.ts'
import { traceOfTurn } from './trace-turn.ts'

export type TurnOutcome = Extract<InboxFact, { kind: 'turn' }>['outcome']

interface Answer {
  text: string
  usage: Usage
  /** The model stopped because it reached the most tokens it was given. */
  cutOff: boolean
}

const FENCED = /^\s*```(?:json)?\s*\n([\s\S]*?)\n?```\s*$/
const ERRORS_SHOWN_MAX = 3

/**
 * Asks the model of a turn once and judges its answer: `{text, data, usage, turns: 1}`, or why there is none. Retries are the engine's.
 * Rejects only with the reason of `signal`, when the service stops and the turn is to be handed back.
 */
export async function askModel(turn: AgentTurn, models: Models, signal: AbortSignal): Promise<TurnOutcome> {
  const model = models.resolve(turn.model)
  if (!model) return failed('BTN_AGENT_MODEL', `${turn.model} is not set up here; providers: ${models.providers.join(', ')}`)
  const allowance = allowanceOf(turn, model)
  if ('refusal' in allowance) return failed('BTN_AGENT_BUDGET', allowance.refusal)
  const timeout = AbortSignal.timeout(turn.timeoutMs)
  try {
    const answer = await generate(turn, model, allowance.outputTokensMax, AbortSignal.any([signal, timeout]))
    return judge(turn, model, answer)
  } catch (error) {
    if (signal.aborted) throw signal.reason
    if (timeout.aborted) {
      return {
        status: 'failed',
        error: { code: 'BTN_TIMEOUT', message: `${turn.model} took longer than ${turn.timeoutMs} ms` },
        retryable: true,
      }
    }
    return explainFailure(error, turn.model)
  }
}

async function generate(turn: AgentTurn, model: ResolvedModel, outputTokensMax: number | undefined, signal: AbortSignal): Promise<Answer> {
  const instructions = instructionsOf(turn, model)
  const traceparent = traceOfTurn(turn)
  const settings = {
    model: model.model,
    prompt: turn.prompt,
    abortSignal: signal,
    maxRetries: 0,
    // The answer is validated here; strict mode would make some providers refuse schemas that they cannot constrain.
    providerOptions: { openaiCompatible: { strictJsonSchema: false } },
    ...(instructions === undefined ? {} : { instructions }),
    ...(traceparent === undefined ? {} : { headers: { traceparent } }),
    ...(outputTokensMax === undefined ? {} : { maxOutputTokens: outputTokensMax }),
  }
  try {
    const result =
      turn.output === undefined
        ? await generateText(settings)
        : await generateText({ ...settings, output: Output.object({ schema: jsonSchema(turn.output as never) }) })
    const usage = usageOf(model, result.usage.inputTokens ?? 0, result.usage.outputTokens ?? 0)
    return { text: result.text, usage, cutOff: result.finishReason === 'length' }
  } catch (error) {
    // The SDK could not parse the answer, but it came and it cost: judge it like any other.
    if (!NoObjectGeneratedError.isInstance(error) || error.text === undefined) throw error
    const usage = usageOf(model, error.usage?.inputTokens ?? 0, error.usage?.outputTokens ?? 0)
    return { text: error.text, usage, cutOff: error.finishReason === 'length' }
  }
}

/** Instructions, with the output schema in words for endpoints that cannot take it as a parameter. */
function instructionsOf(turn: AgentTurn, model: ResolvedModel): string | undefined {
  if (turn.output === undefined || model.structuredOutputs) return turn.instructions
  const ask = `Answer with one JSON value only, without any other text. It must match this JSON Schema: ${JSON.stringify(turn.output)}`
  return turn.instructions === undefined ? ask : `${turn.instructions}\n\n${ask}`
}

function judge(turn: AgentTurn, model: ResolvedModel, answer: Answer): TurnOutcome {
  const { text, usage } = answer
  const overspent = overspendOf(turn, usage)
  if (overspent !== undefined) return failed('BTN_AGENT_BUDGET', overspent)
  if (turn.output === undefined) return succeeded(text, null, usage)
  const data = parseAnswer(text)
  if (data === undefined) {
    if (answer.cutOff) return failed('BTN_AGENT_BUDGET', `${model.name} was cut off after ${usage.outputTokens} tokens`)
    return failed('BTN_AGENT', `${model.name} did not answer with JSON`)
  }
  const errors = validateAgainst(turn.output, data, '')
  if (errors.length === 0) return succeeded(text, data, usage)
  const shown = errors.slice(0, ERRORS_SHOWN_MAX).map((error) => `${error.pointer || '/'}: ${error.message}`)
  return failed('BTN_AGENT', `the answer of ${model.name} does not match the output schema: ${shown.join('; ')}`)
}

function succeeded(text: string, data: Json, usage: Usage): TurnOutcome {
  return { status: 'succeeded', output: { text, data, usage: { ...usage }, turns: 1 } }
}

/** The JSON of an answer, also when the model wrapped it in a code fence. */
function parseAnswer(text: string): Json | undefined {
  const inner = FENCED.exec(text)?.[1] ?? text
  try {
    return JSON.parse(inner) as Json
  } catch {
    return undefined
  }
}
