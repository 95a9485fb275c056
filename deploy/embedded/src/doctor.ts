/** make doctor [ARGS=--json]: `baton doctor` with the addresses and keys of this stack. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { runsInContainers } from './compose.ts'
import { settingsOfRunning } from './running-stack.ts'
import { SERVICES } from './services.ts'
import { stackPaths } from './stack-paths.ts'
import { runCommand } from './stack-problem.ts'
import { reachable } from './stack-programs.ts'

const paths = stackPaths()

await runCommand(async () => {
  const settings = settingsOfRunning(paths)
  const url = `http://${reachable(settings.host)}:${SERVICES.orchestrator + settings.portOffset}`
  const env: NodeJS.ProcessEnv = { ...settings.values, BATON_URL: process.env['BATON_URL'] || url, BATON_KEY: settings.adminKey }
  // Those of the containers are not published to this machine.
  if (runsInContainers(paths) && settings.ownPostgres) delete env['DATABASE_URL']
  if (runsInContainers(paths) && settings.ownRedis) delete env['REDIS_URL']
  const program = join(import.meta.dirname, '..', '..', '..', 'packages', 'cli', 'bin', 'baton.js')
  return spawnSync(process.execPath, [program, 'doctor', ...process.argv.slice(2)], { env, stdio: 'inherit' }).status ?? 1
})
