/** make clean: stops the stack and removes its data, after asking. CONFIRM=yes does not ask. */
import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import { stackPaths } from './stack-paths.ts'
import { runCommand, StackProblem } from './stack-problem.ts'
import { stopEverything } from './stop-stack.ts'
import { removePlaced } from './unprivileged-account.ts'

const paths = stackPaths()

async function confirmed(): Promise<boolean> {
  if (process.env['CONFIRM'] === 'yes') return true
  if (!process.stdin.isTTY)
    throw new StackProblem(
      'make clean removes all runs, secrets and logs of this stack. To do that without being asked: CONFIRM=yes make clean',
    )
  const asking = createInterface({ input: process.stdin, output: process.stdout })
  const answer = await asking.question(`This removes all runs, secrets and logs of this stack (${paths.local}). Type yes to go on: `)
  asking.close()
  return answer.trim() === 'yes'
}

await runCommand(async () => {
  if (!(await confirmed())) {
    console.log('Nothing was removed.')
    return 1
  }
  await stopEverything(paths, { volumes: true })
  removePlaced(paths.postgres)
  rmSync(paths.local, { recursive: true, force: true })
  console.log('Removed. The settings and keys in .env stay.')
  return 0
})
