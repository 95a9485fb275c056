import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { checkDisk, checkGivenServers, checkPorts } from './check-ground.ts'
import {
  identify,
  isAlive,
  type ProcessIdentity,
  recordedProcess,
  recordedProcesses,
  recordProcess,
  signalProcess,
} from './process-identity.ts'
import { bringRedisServer } from './redis-binary.ts'
import { SUPERVISOR } from './run-supervisor.ts'
import type { ServiceName } from './services.ts'
import type { StackPaths } from './stack-paths.ts'
import { explainFileError, StackProblem } from './stack-problem.ts'
import { stackPostgres } from './stack-programs.ts'
import type { StackSettings } from './stack-settings.ts'
import { readState, readWanted, type Wanted, writeJson } from './stack-state.ts'
import { stopStack } from './stop-stack.ts'
import { waitForHealth } from './wait-for-health.ts'

/** What to bring up: these services, all others as they are (`exactly`: and no others), restarting on changed source when `watch`. */
export type StartRequest = {
  services: ServiceName[]
  exactly: boolean
  watch: boolean
  fingerprint: string
  say: (sentence: string) => void
}

/** Brings the stack up or finds it running; resolves when every wanted service answers 200. What it started it stops again when that fails. */
export async function startStack(paths: StackPaths, settings: StackSettings, request: StartRequest): Promise<void> {
  const { say, fingerprint } = request
  const running = recordedProcess(paths.pids, SUPERVISOR)
  const state = readState(paths)
  const before = readWanted(paths)
  const services = request.exactly ? request.services : [...new Set([...before.services, ...request.services])]
  const wanted: Wanted = { services, watch: request.watch }
  if (running && state?.fingerprint === fingerprint && before.watch === request.watch) {
    say('The stack is running.')
    const added = services.filter((service) => !before.services.includes(service))
    await checkPorts(paths, { ...settings, ownPostgres: false, ownRedis: false }, added)
    const scaled = !request.exactly && before.replicas // make up goes back to the settings, make start-<service> leaves the others as they are
    writeJson(paths.wanted, { ...wanted, ...(scaled && { replicas: scaled }) })
    signalProcess(running, 'SIGHUP')
    return waitForHealth(paths, settings, { services, supervisor: running, say })
  }
  if (running) say('The stack runs with other settings or an older source; it is started again …')
  else if (recordedProcesses(paths.pids).size > 0) say('Processes of a stack whose supervisor is gone still run; they are stopped first …')
  await stopStack(paths)
  await prepareGround(paths, settings, services, say)
  writeJson(paths.wanted, wanted)
  const supervisor = await spawnSupervisor(paths, settings, fingerprint)
  try {
    await waitForHealth(paths, settings, { services, supervisor, say })
  } catch (error) {
    if (isAlive(supervisor)) say('Stopping what was started …')
    await stopStack(paths)
    throw error
  }
}

/** Everything that can fail with a clear sentence is done here, in the foreground, before anything runs. */
async function prepareGround(
  paths: StackPaths,
  settings: StackSettings,
  services: ServiceName[],
  say: (sentence: string) => void,
): Promise<void> {
  try {
    mkdirSync(paths.local, { recursive: true })
    checkDisk(paths)
    await checkPorts(paths, settings, services)
    await checkGivenServers(settings)
    if (settings.ownRedis) await bringRedisServer(paths.redisPrograms, say)
    if (settings.ownPostgres) await stackPostgres(paths, settings, say).prepare?.()
  } catch (error) {
    throw explainFileError(error, paths.local)
  }
}

async function spawnSupervisor(paths: StackPaths, settings: StackSettings, fingerprint: string): Promise<ProcessIdentity> {
  mkdirSync(paths.logs, { recursive: true })
  const log = openSync(join(paths.logs, 'supervisor.log'), 'a')
  const entry = join(import.meta.dirname, 'supervisor.ts')
  const child = spawn(process.execPath, ['--conditions=@baton/source', entry], {
    cwd: paths.root,
    detached: true, // a session of its own: it survives the terminal
    stdio: ['ignore', log, log],
    env: { ...settings.values, BATON_STACK_ROOT: paths.root, BATON_STACK_FINGERPRINT: fingerprint },
  })
  closeSync(log)
  await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject))
  const identity = identify(child.pid ?? 0)
  if (!identity) throw new StackProblem(`The supervisor ended at once; see ${join(paths.logs, 'supervisor.log')}`)
  recordProcess(paths.pids, SUPERVISOR, identity) // here, not only by itself later: who stops the stack meanwhile must find it
  child.unref()
  return identity
}
