/** How errors look on a terminal, and the exit codes they end with. */
import { BatonProblem, BatonUnreachable } from '@baton/client'
import { CommanderError } from 'commander'

/** 0 done · 1 Baton said no, or the run did not succeed · 2 wrong use of the command · 3 Baton cannot be reached · 130 interrupted. */
export const EXIT = { ok: 0, problem: 1, usage: 2, unreachable: 3, interrupted: 130 } as const

/** The command was used wrongly; shown without more ado, exit code 2. */
export class UsageError extends Error {}

/** Some of what was asked for failed, and that was already said. */
export class PartlyFailed extends Error {}

/** The sentence and the exit code of an error. Anything unforeseen is shown with its stack. */
export function explainError(err: unknown): { text: string; code: number } {
  if (err instanceof CommanderError) return { text: '', code: err.exitCode === 0 ? EXIT.ok : EXIT.usage }
  if (err instanceof PartlyFailed) return { text: '', code: EXIT.problem }
  if (err instanceof UsageError) return { text: `error: ${err.message}\n`, code: EXIT.usage }
  if (err instanceof BatonUnreachable) return { text: `error: ${err.message}\n`, code: EXIT.unreachable }
  if (err instanceof BatonProblem) return { text: explainProblem(err), code: EXIT.problem }
  return { text: `${err instanceof Error ? (err.stack ?? err.message) : String(err)}\n`, code: EXIT.problem }
}

/** The problem's detail and code, and a line for each place that it names. */
export function explainProblem(problem: BatonProblem): string {
  const places = problem.errors.map(placeLine)
  const hint = problem.status === 401 ? '  `baton login` stores a key; BATON_KEY gives one for a single command\n' : ''
  return `error: ${problem.detail} (${problem.code})\n${places.join('')}${hint}`
}

/** One line for a finding: where it is, and what it is. */
export function placeLine(place: { pointer: string; message: string; line?: number | undefined; column?: number | undefined }): string {
  const at = place.line === undefined ? '' : ` (line ${place.line}, column ${place.column ?? 1})`
  return `  ${place.pointer === '' ? '/' : place.pointer}${at}: ${place.message}\n`
}
