import { rmSync } from 'node:fs'
import { type KeptProgram, keepRunning } from './keep-running.ts'
import { ensureDatabase } from './postgres.ts'
import { forgetProcess, identify, isRecorded, recordProcess } from './process-identity.ts'
import type { Program } from './program.ts'
import { LOG_BYTES_MAX, rotateLogs } from './rotate-logs.ts'
import type { ServiceName } from './services.ts'
import type { StackPaths } from './stack-paths.ts'
import { serviceReplicas, stackPostgres, stackRedis } from './stack-programs.ts'
import type { StackSettings } from './stack-settings.ts'
import { readWanted, type StackProgramState, writeJson } from './stack-state.ts'

const ROTATE_EACH_MS = 10_000
const LOOK_EACH_MS = 2_000

/** The name under which the supervisor itself is recorded among the pids. */
export const SUPERVISOR = 'supervisor'

type Kept = { kept: KeptProgram; service?: ServiceName; port: number }

/**
 * Owns every process of the stack until `stop`: starts them, starts them again, writes down how they do. `onForgotten` is told when the record
 * of this supervisor is gone: the folder was removed or moved, and no command will ever find the stack again.
 */
export function runSupervisor(
  paths: StackPaths,
  settings: StackSettings,
  fingerprint: string,
  { log, onForgotten }: { log: (sentence: string) => void; onForgotten: () => void },
) {
  const stores = new Map<string, Kept>()
  const services = new Map<string, Kept>()
  let stopping = false
  let gone = false

  const publish = () => {
    if (gone || !isRecorded(paths.pids, SUPERVISOR)) return // a folder that was removed is not made again
    const programs = [...stores.values(), ...services.values()].map(
      ({ kept, service, port }): StackProgramState => ({ ...kept.state(), ...(service && { service }), port }),
    )
    try {
      writeJson(paths.state, { mode: 'local', fingerprint, host: settings.host, portOffset: settings.portOffset, programs })
    } catch (error) {
      log(`the state of the stack cannot be written (${(error as Error).message}); the programs go on`)
    }
  }
  const rotate = () => {
    try {
      rotateLogs(paths.logs, Number(settings.values['BATON_LOG_BYTES_MAX']) || LOG_BYTES_MAX)
    } catch (error) {
      log(`the logs cannot be set aside (${(error as Error).message})`)
    }
  }
  const keep = (program: Program) =>
    keepRunning(program, { logs: paths.logs, pids: paths.pids, log, onChange: () => setImmediate(publish) })

  /** Starts what is wanted and stops what is not any more. */
  async function follow(): Promise<void> {
    const { services: wanted, watch, replicas } = readWanted(paths)
    const scaled = { ...settings, replicas: { ...settings.replicas, ...replicas } }
    const desired = wanted.flatMap((service) => serviceReplicas(paths, scaled, service, watch))
    const dropped = [...services].filter(([name]) => !desired.some(({ program }) => program.name === name))
    for (const [name] of dropped) services.delete(name)
    for (const { program, service, port } of desired) {
      if (!services.has(program.name)) services.set(program.name, { kept: keep(program), service, port })
    }
    await Promise.all(dropped.map(([, { kept }]) => kept.stop()))
    publish()
  }

  async function start(): Promise<void> {
    recordProcess(paths.pids, SUPERVISOR, identify(process.pid) ?? { pid: process.pid, start: '' })
    looking = setInterval(look, LOOK_EACH_MS)
    const postgres = settings.ownPostgres ? keep(stackPostgres(paths, settings, log)) : undefined
    const redis = settings.ownRedis ? keep(stackRedis(paths, settings)) : undefined
    if (postgres) stores.set('postgres', { kept: postgres, port: Number(new URL(settings.databaseUrl).port) })
    if (redis) stores.set('redis', { kept: redis, port: Number(new URL(settings.redisUrl).port) })
    publish()
    await Promise.all([postgres?.ready(), redis?.ready()])
    if (stopping) return
    if (postgres) await ensureDatabase(settings.databaseUrl)
    await follow()
  }

  async function stopAll(): Promise<void> {
    stopping = true
    await Promise.all([...services.values()].map(({ kept }) => kept.stop()))
    await stores.get('redis')?.kept.stop()
    await stores.get('postgres')?.kept.stop()
    clearInterval(rotating)
    clearInterval(looking)
    gone = true
    rmSync(paths.state, { force: true })
    forgetProcess(paths.pids, SUPERVISOR)
  }

  function look(): void {
    if (stopping || isRecorded(paths.pids, SUPERVISOR)) return
    clearInterval(looking)
    onForgotten()
  }

  let looking: NodeJS.Timeout | undefined
  const rotating = setInterval(rotate, ROTATE_EACH_MS)
  let stopped: Promise<void> | undefined
  const stop = () => {
    stopped ??= stopAll() // who asks a second time waits for the same end: to leave earlier would leave programs behind
    return stopped
  }
  return { start, follow: () => (stopping ? Promise.resolve() : follow()), stop }
}
