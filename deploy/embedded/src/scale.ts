/** make scale S=service N=5: so many replicas of a running service, until the next make up, which goes back to the settings. */
import { compose, composeEnvironment, runsInContainers } from './compose.ts'
import { recordedProcess, recordedProcesses, signalProcess } from './process-identity.ts'
import { SUPERVISOR } from './run-supervisor.ts'
import { namedService, settingsOfRunning } from './running-stack.ts'
import { replicasSetting, type ServiceName } from './services.ts'
import { stackPaths } from './stack-paths.ts'
import { runCommand, StackProblem } from './stack-problem.ts'
import { readState, readWanted, writeJson } from './stack-state.ts'
import { STOP_GRACE_MS, waitUntil } from './stop-process.ts'

const REPLICAS_MAX = 64
const paths = stackPaths()

function scaleContainers(service: ServiceName, count: number): void {
  const args = ['up', '--detach', '--wait', '--no-deps', '--no-recreate', '--scale', `${service}=${count}`, service]
  if (compose(paths, args, { ...process.env, ...composeEnvironment(paths, settingsOfRunning(paths)) }) !== 0)
    throw new StackProblem('docker compose did not scale the service (see above).')
}

async function scaleProcesses(service: ServiceName, count: number): Promise<void> {
  const supervisor = recordedProcess(paths.pids, SUPERVISOR)
  if (!supervisor)
    throw new StackProblem(`Nothing is running: ${replicasSetting(service)}=${count} make up starts the stack with ${count}.`)
  const wanted = readWanted(paths)
  const services = [...new Set([...wanted.services, service])]
  writeJson(paths.wanted, { ...wanted, services, replicas: { ...wanted.replicas, [service]: count } })
  signalProcess(supervisor, 'SIGHUP')
  const done = await waitUntil(() => {
    const replicas = (readState(paths)?.programs ?? []).filter((program) => program.service === service)
    const processes = [...recordedProcesses(paths.pids).keys()].filter((name) => name.replace(/-\d+$/, '') === service)
    return replicas.length === count && replicas.every(({ status }) => status === 'running') && processes.length === count
  }, 2 * STOP_GRACE_MS)
  if (!done) throw new StackProblem(`${service} has not come to ${count} replicas; make health and make logs S=${service} show why.`)
}

await runCommand(async () => {
  const { S, N } = process.env
  if (!S || !N) throw new StackProblem('Name the service and how many: make scale S=http-worker N=5')
  const service = namedService(S)
  if (!/^\d{1,2}$/.test(N) || Number(N) > REPLICAS_MAX)
    throw new StackProblem(`N must be a whole number from 0 to ${REPLICAS_MAX}, and is "${N}".`)
  const count = Number(N)
  await (runsInContainers(paths) ? scaleContainers(service, count) : scaleProcesses(service, count))
  console.log(
    `${service} runs in ${count} ${count === 1 ? 'replica' : 'replicas'}. For good: ${replicasSetting(service)}=${count} in .env.`,
  )
  return 0
})
