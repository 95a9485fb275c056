/** One call for each of the runs that were named. */
import { BatonProblem, type Run } from '@baton/client'
import { explainProblem, PartlyFailed } from './exit-codes.ts'
import type { CommandContext } from './terminal.ts'

/**
 * Calls `act` for one run after the other and prints what became of them. One that is refused is told with its id and holds up no other; then
 * PartlyFailed is thrown at the end.
 */
export async function eachRun(
  context: CommandContext,
  ids: readonly string[],
  act: (id: string) => Promise<Run>,
  say: (run: Run) => string,
): Promise<void> {
  const runs: Run[] = []
  for (const id of ids) {
    try {
      runs.push(await act(id))
    } catch (err) {
      if (ids.length === 1 || !(err instanceof BatonProblem)) throw err
      context.terminal.err(`${id}: ${explainProblem(err)}`)
    }
  }
  context.print(runs, () => runs.map((run) => `${run.id} ${say(run)}\n`).join(''))
  if (runs.length < ids.length) throw new PartlyFailed()
}
