import { type Fact, FactsEntry } from '@baton/contracts'

/**
 * Checks an entry of `facts:{p}` by hand: what the code relies on and no deeper, because the full schema walks every output (measured: an eighth
 * of the runner's time under load). What does not pass goes through the schema, which says why it is refused.
 */
export const factsEntry = {
  parse(value: unknown): Fact[] {
    if (Array.isArray(value) && value.length > 0 && value.every(isFact)) return value
    return FactsEntry.parse(value)
  },
}

function isFact(value: unknown): value is Fact {
  const fact = value as Fact | null
  if (typeof fact !== 'object' || fact === null || typeof fact.runId !== 'string') return false
  if (fact.kind === 'inbox') return fact.row === undefined
  if (fact.kind === 'start') return fact.run === undefined || isRecord(fact.run)
  return fact.kind === 'result' && isResult(fact)
}

function isResult(fact: Extract<Fact, { kind: 'result' }>): boolean {
  return (
    typeof fact.path === 'string' &&
    Number.isInteger(fact.generation) &&
    Number.isInteger(fact.attempt) &&
    typeof fact.startedAt === 'number' &&
    isRecord(fact.outcome) &&
    fact.outcome.status === 'succeeded' &&
    fact.outcome.output !== undefined
  )
}

function isRecord(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
