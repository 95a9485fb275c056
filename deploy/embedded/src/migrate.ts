/** make migrate [ARGS=--expand|--status]: brings the database of this stack up to date. make up does it by itself. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { compose, composeEnvironment, runsInContainers } from './compose.ts'
import { recordedProcess } from './process-identity.ts'
import { settingsOfRunning } from './running-stack.ts'
import { stackPaths } from './stack-paths.ts'
import { runCommand, StackProblem } from './stack-problem.ts'

const paths = stackPaths()

await runCommand(async () => {
  const args = process.argv.slice(2)
  const settings = settingsOfRunning(paths)
  if (runsInContainers(paths)) {
    const command = ['run', '--rm', '--no-deps', 'orchestrator', 'node', 'app/migrate.js', ...args]
    return compose(paths, command, { ...process.env, ...composeEnvironment(paths, settings) })
  }
  if (settings.ownPostgres && !recordedProcess(paths.pids, 'postgres'))
    throw new StackProblem('The PostgreSQL of this stack does not run: make up starts it, and migrates by itself.')
  const program = join(paths.root, 'services', 'orchestrator', 'src', 'migrate.ts')
  return (
    spawnSync(process.execPath, ['--conditions=@baton/source', program, ...args], { env: settings.values, stdio: 'inherit' }).status ?? 1
  )
})
