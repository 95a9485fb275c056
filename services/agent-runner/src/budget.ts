/** Budgets of a turn: what may be spent, before and after the model is asked. */
import type { AgentTurn } from '@baton/contracts'
import { tokensIn } from './mock-model.ts'
import type { ResolvedModel } from './models.ts'

const TOKENS_PER_PRICE = 1_000_000

export interface Usage {
  inputTokens: number
  outputTokens: number
  /** 0 when the price of the model is not known. */
  usd: number
}

/** Either the most tokens that the answer may have (undefined = no bound), or why the model must not be asked. */
export type Allowance = { outputTokensMax: number | undefined } | { refusal: string }

/** What a turn may spend on its answer. The prompt's tokens are estimated, since only the provider can count them. */
export function allowanceOf(turn: AgentTurn, model: ResolvedModel): Allowance {
  const { usd, tokens } = turn.budget ?? {}
  const promptTokens = tokensIn(turn.prompt) + tokensIn(turn.instructions ?? '')
  const bounds: number[] = []
  if (tokens !== undefined) bounds.push(tokens - promptTokens)
  if (usd !== undefined) {
    if (!model.price) return { refusal: `the price of ${model.name} is not known (AGENT_PRICES), so a budget in USD cannot be kept` }
    const left = usd - (promptTokens * model.price.input) / TOKENS_PER_PRICE
    if (left <= 0) bounds.push(0)
    else if (model.price.output > 0) bounds.push(Math.floor((left * TOKENS_PER_PRICE) / model.price.output))
  }
  if (bounds.length === 0) return { outputTokensMax: undefined }
  const outputTokensMax = Math.min(...bounds)
  if (outputTokensMax < 1) return { refusal: `the prompt alone, about ${promptTokens} tokens, uses up the budget` }
  return { outputTokensMax }
}

/** Tokens that were used and what they cost. */
export function usageOf(model: ResolvedModel, inputTokens: number, outputTokens: number): Usage {
  const price = model.price ?? { input: 0, output: 0 }
  const usd = (inputTokens * price.input + outputTokens * price.output) / TOKENS_PER_PRICE
  return { inputTokens, outputTokens, usd }
}

/** Why the usage is over the budget of the turn, or undefined. */
export function overspendOf(turn: AgentTurn, usage: Usage): string | undefined {
  const { usd, tokens } = turn.budget ?? {}
  const used = usage.inputTokens + usage.outputTokens
  if (tokens !== undefined && used > tokens) return `the turn used ${used} tokens of a budget of ${tokens}`
  if (usd !== undefined && usage.usd > usd) return `the turn cost ${usage.usd} USD of a budget of ${usd}`
  return undefined
}
