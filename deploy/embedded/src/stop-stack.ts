import { rmSync } from 'node:fs'
import { composeDown, runsInContainers } from './compose.ts'
import { forgetProcess, recordedProcess, recordedProcesses } from './process-identity.ts'
import { SUPERVISOR } from './run-supervisor.ts'
import type { StackPaths } from './stack-paths.ts'
import { readState, writeJson } from './stack-state.ts'
import { STOP_GRACE_MS, stopProcess } from './stop-process.ts'

/** The supervisor may need the grace of the services, of Redis and of PostgreSQL, one after the other. */
const SUPERVISOR_GRACE_MS = 3 * STOP_GRACE_MS + 5_000

/**
 * Ends the stack whichever way it runs: the processes first, since an engine that is away must not keep them alive, then the containers where
 * there are any (`volumes`: with their data). Throws StackProblem when those cannot be ended, and they are still known afterwards.
 */
export async function stopEverything(paths: StackPaths, { volumes }: { volumes: boolean }): Promise<{ stopped: boolean }> {
  const state = readState(paths)
  const containers = runsInContainers(paths)
  const ended = await stopStack(paths)
  if (!containers) return { stopped: ended > 0 }
  try {
    composeDown(paths, { volumes })
  } catch (error) {
    if (state) writeJson(paths.state, state)
    throw error
  }
  return { stopped: true }
}

/** Ends the stack in order (services, Redis, PostgreSQL), also what outlived a killed supervisor. Resolves with the number of processes ended. */
export async function stopStack(paths: StackPaths): Promise<number> {
  const running = recordedProcesses(paths.pids)
  const supervisor = recordedProcess(paths.pids, SUPERVISOR)
  if (supervisor) await stopProcess(supervisor, 'SIGTERM', SUPERVISOR_GRACE_MS)
  const left = recordedProcesses(paths.pids)
  const services = [...left].filter(([name]) => !['redis', 'postgres', SUPERVISOR].includes(name))
  await Promise.all(services.map(([, identity]) => stopProcess(identity)))
  const redis = left.get('redis')
  if (redis) await stopProcess(redis)
  const postgres = left.get('postgres')
  if (postgres) await stopProcess(postgres, 'SIGINT')
  for (const name of [...running.keys(), ...left.keys()]) forgetProcess(paths.pids, name)
  for (const file of [paths.state, paths.wanted]) rmSync(file, { force: true })
  return running.size
}
