/** make build: builds the images of all services. */
import { chooseMode } from './choose-mode.ts'
import { compose, composeEnvironment } from './compose.ts'
import { stackPaths } from './stack-paths.ts'
import { runCommand, StackProblem } from './stack-problem.ts'
import { loadStackSettings } from './stack-settings.ts'

const paths = stackPaths()

await runCommand(async () => {
  if (chooseMode(undefined) !== 'docker')
    throw new StackProblem(
      'No container engine with compose answers here, and images need one: start Docker (or install it), then make build again. ' +
        'The embedded stack (BATON_MODE=local make up) needs no images.',
    )
  const status = compose(paths, ['build', ...process.argv.slice(2)], {
    ...process.env,
    ...composeEnvironment(paths, loadStackSettings(paths)),
  })
  if (status === 0) console.log('The images are built; make prod starts the stack from them.')
  return status
})
