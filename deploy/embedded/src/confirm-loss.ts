import { createInterface } from 'node:readline/promises'
import { StackProblem } from './stack-problem.ts'

/** Asks before data go; throws StackProblem unless somebody types yes. CONFIRM=yes does not ask; without a terminal it is needed. */
export async function confirmLoss(command: string, loss: string): Promise<void> {
  if (process.env['CONFIRM'] === 'yes') return
  if (!process.stdin.isTTY) throw new StackProblem(`${loss}. To do that without being asked: CONFIRM=yes ${command}`)
  const asking = createInterface({ input: process.stdin, output: process.stdout })
  const answer = await asking.question(`${loss}. Type yes to go on: `)
  asking.close()
  if (answer.trim() !== 'yes') throw new StackProblem('Nothing was changed.')
}
