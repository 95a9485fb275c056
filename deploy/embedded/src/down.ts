/** make down: stops the stack and leaves no process. */
import { mkdirSync } from 'node:fs'
import { stackPaths } from './stack-paths.ts'
import { explainFileError, runCommand } from './stack-problem.ts'
import { stopEverything } from './stop-stack.ts'
import { takeLock } from './take-lock.ts'

const paths = stackPaths()

await runCommand(async () => {
  try {
    mkdirSync(paths.local, { recursive: true })
  } catch (error) {
    throw explainFileError(error, paths.local)
  }
  const unlock = await takeLock(paths.lock, (pid) =>
    console.log(`Another command on this stack is under way (pid ${pid}); waiting for it …`),
  )
  process.once('exit', unlock)
  const { stopped } = await stopEverything(paths, { volumes: false })
  console.log(stopped ? 'Baton has stopped; its data stay.' : 'Nothing was running.')
  return 0
})
