/** What commands on a stack that runs have to know first. */
import { isServiceName, SERVICE_NAMES, type ServiceName } from './services.ts'
import type { StackPaths } from './stack-paths.ts'
import { StackProblem } from './stack-problem.ts'
import { loadStackSettings, type StackSettings } from './stack-settings.ts'
import { readState } from './stack-state.ts'

/** The settings with the ports that the running stack was started on. */
export function settingsOfRunning(paths: StackPaths): StackSettings {
  const state = readState(paths)
  return loadStackSettings(paths, state ? { ...process.env, BATON_PORT_OFFSET: String(state.portOffset) } : process.env)
}

/** The service of S=…; throws StackProblem when there is none of that name. */
export function namedService(name: string): ServiceName {
  if (isServiceName(name)) return name
  throw new StackProblem(`There is no service "${name}"; there are ${SERVICE_NAMES.join(', ')}.`)
}
