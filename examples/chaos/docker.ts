/** What the stack in containers asks of docker: commands, word of containers that start and end, and an end that comes whatever happens. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { chooseMode } from '@baton/testing'

const run = promisify(execFile)
const OUTPUT_BYTES_MAX = 256 * 1024 * 1024

/** Why nothing can be tried in containers here, if it is so. */
export function whyNoContainers(): string | false {
  if (process.env.BATON_TEST_SERVERS === 'embedded') return 'BATON_TEST_SERVERS=embedded asks for it'
  return chooseMode(undefined) === 'docker' ? false : 'no Docker engine with compose answers'
}

/** A command to its end: gives what it printed, with `errors` also on stderr; rejects, with that in the message, when it failed. */
export async function docker(args: readonly string[], options: { env?: NodeJS.ProcessEnv; errors?: boolean } = {}): Promise<string> {
  const { stdout, stderr } = await run('docker', args, { env: options.env ?? process.env, maxBuffer: OUTPUT_BYTES_MAX })
  return (options.errors ? stdout + stderr : stdout).trim()
}

/** A container has started, or has ended. */
export interface ContainerEvent {
  /** Its name in the compose file. */
  service: string
  action: 'start' | 'die'
  /** When it ended: with which code. */
  code: number
  /** Seconds since 1970. */
  at: number
}

interface EngineEvent {
  Action: ContainerEvent['action']
  Actor: { Attributes: Record<string, string> }
  timeNano: number
}

/** Tells every start and end of the project's containers, in their order, until it is called. */
export function followContainers(project: string, tell: (event: ContainerEvent) => void): () => void {
  const filters = ['type=container', 'event=start', 'event=die', `label=com.docker.compose.project=${project}`]
  const args = ['events', '--format', '{{json .}}', ...filters.flatMap((filter) => ['--filter', filter])]
  const child = spawn('docker', args, { stdio: ['ignore', 'pipe', 'inherit'] })
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { Action, Actor, timeNano } = JSON.parse(line) as EngineEvent
    const { 'com.docker.compose.service': service, exitCode } = Actor.Attributes
    if (service) tell({ service, action: Action, code: Number(exitCode), at: timeNano / 1e9 })
  })
  return () => void child.kill()
}

/** The ids of a project's containers, by their names in the compose file. */
export async function containersOf(project: string): Promise<Map<string, string>> {
  const format = '{{.Label "com.docker.compose.service"}} {{.ID}}'
  const text = await docker(['ps', '--all', '--no-trunc', '--format', format, '--filter', `label=com.docker.compose.project=${project}`])
  return new Map(
    text
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split(' ') as [string, string]),
  )
}

/**
 * Runs `docker <args>` when the result is called, or when this process is gone, however it went: a shell waits for the end of a pipe that
 * only we hold. Containers are no children of ours, and would start again for ever.
 */
export function guardContainers(args: readonly string[], env: NodeJS.ProcessEnv): () => Promise<void> {
  const script = 'trap "" INT TERM HUP; cat > /dev/null; exec docker "$@"'
  const guard = spawn('/bin/sh', ['-c', script, 'sh', ...args], { env, stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  guard.unref()
  const pipe = guard.stdin as unknown as { unref(): void }
  pipe.unref()
  guard.stdin.on('error', () => {})
  return async () => {
    guard.ref()
    const ended = once(guard, 'exit')
    guard.stdin.end()
    const [code] = (await ended) as [number | null]
    if (code !== 0) throw new Error(`docker ${args.join(' ')} ended with ${code}`)
  }
}
