/** make restart [S=service]: ends the services in order and lets them start again; PostgreSQL, Redis and the settings stay as they are. */
import { runsInContainers } from './compose.ts'
import { composeServices } from './compose-exec.ts'
import { recordedProcess } from './process-identity.ts'
import { SUPERVISOR } from './run-supervisor.ts'
import { namedService, settingsOfRunning } from './running-stack.ts'
import type { ServiceName } from './services.ts'
import { stackPaths } from './stack-paths.ts'
import { runCommand, StackProblem } from './stack-problem.ts'
import { readState, readWanted } from './stack-state.ts'
import { stopProcess } from './stop-process.ts'
import { waitForHealth } from './wait-for-health.ts'

const paths = stackPaths()

await runCommand(async () => {
  const only = process.env['S'] ? [namedService(process.env['S'])] : undefined
  if (runsInContainers(paths)) {
    composeServices(paths, 'restart', only)
    console.log('Restarted; make health tells when all are well, make up takes over changed settings.')
    return 0
  }
  const supervisor = recordedProcess(paths.pids, SUPERVISOR)
  if (!supervisor) throw new StackProblem('Nothing is running: make up starts the stack.')
  const services: ServiceName[] = only ?? readWanted(paths).services
  const programs = (readState(paths)?.programs ?? []).filter(({ service }) => service && services.includes(service))
  await Promise.all(
    programs.map(async ({ name }) => {
      const process = recordedProcess(paths.pids, name)
      if (process) await stopProcess(process) // its supervisor starts it again
    }),
  )
  await waitForHealth(paths, settingsOfRunning(paths), { services, supervisor, say: (sentence) => console.log(sentence) })
  console.log('Restarted. (make up takes over changed settings and sources.)')
  return 0
})
