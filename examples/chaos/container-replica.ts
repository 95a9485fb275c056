/** A service in its container: killed, stopped, replaced, and judged by how it ends. */
import { setTimeout as pause } from 'node:timers/promises'
import { type ContainerEvent, docker } from './docker.ts'
import { tell } from './scene.ts'
import { type Replica, readyAt, type Service } from './stack.ts'

/** Longer than any service takes, and than one may stand still meanwhile. */
export const STOP_SECONDS = '60'
/** How long word of an end may take. */
const HEAR_MS = 5_000

export interface Place {
  service: Service
  number: number
  name: string
  /** Its name in the compose file. */
  inCompose: string
  port: number
}

/** Which container stands under which name now, and how it is made anew. */
export interface Containers {
  idOf(inCompose: string): string
  makeAgain(inCompose: string): Promise<void>
}

export interface ContainerReplica extends Replica {
  /** Its name in the compose file. */
  inCompose: string
  hear(event: ContainerEvent): void
  /** `docker kill`: it stays away until somebody starts it, which `begin` does. */
  kill(): Promise<void>
  begin(): Promise<void>
  /** Makes its container anew from the image that stands in the compose file; resolves with how the former one ended. */
  replace(): Promise<{ code: number | null }>
}

/** What is known of it by word of the engine. */
interface Life {
  running: boolean
  /** Its end is somebody's will. */
  ending: boolean
  killed: boolean
  code: number | null
  bornAt: number
  gone: PromiseWithResolvers<void>
}

/**
 * A service in its container. SIGKILL, SIGSTOP and SIGCONT are sent from inside to the service itself, as a crash or the kernel would do it:
 * what is ended by `docker kill` counts as ended on purpose, and the engine does not start it again, which is what is to be tried here. A
 * SIGTERM is the engine's own `docker stop`, after which whoever stopped it starts it again, as a deployment does.
 */
export function keepContainer(place: Place, { idOf, makeAgain }: Containers, crashes: string[]): ContainerReplica {
  const { name, port, inCompose } = place
  const url = `http://127.0.0.1:${port}`
  const life: Life = { running: true, ending: false, killed: false, code: null, bornAt: 0, gone: Promise.withResolvers() }
  const id = () => idOf(inCompose)
  const endedBy = async (act: () => Promise<unknown>) => {
    life.ending = true
    const ended = life.gone.promise
    await act()
    await ended
  }
  return {
    ...place,
    url,
    hear: (event) => hear(life, event, id, { name, crashes }),
    async end(how) {
      const startedAt = performance.now()
      if (!life.running) return { code: life.code, killed: life.killed, durationMs: 0 }
      life.killed ||= how === 'SIGKILL'
      await endedBy(() => (how === 'SIGKILL' ? signal(life, id(), 'KILL') : docker(['stop', '-t', STOP_SECONDS, id()])))
      const end = { code: life.code, killed: life.killed, durationMs: performance.now() - startedAt }
      if (how === 'SIGTERM') await docker(['start', id()])
      return end
    },
    async kill() {
      life.killed = true
      await endedBy(() => docker(['kill', id()]))
    },
    begin: async () => void (await docker(['start', id()])),
    async replace() {
      await endedBy(() => makeAgain(inCompose))
      return { code: life.code }
    },
    stop: () => signal(life, id(), 'STOP'),
    go: () => signal(life, id(), 'CONT'),
    ready: (timeoutMs) => readyAt(name, url, timeoutMs),
  }
}

function hear(life: Life, { action, code, at }: ContainerEvent, id: () => string, told: { name: string; crashes: string[] }): void {
  life.running = action === 'start'
  if (life.running) {
    life.ending = life.killed = false
    life.bornAt = at
    return
  }
  life.code = code
  life.gone.resolve()
  life.gone = Promise.withResolvers()
  if (life.ending) return
  void hasListened(id(), life.bornAt, at).then((had) => {
    if (had) told.crashes.push(`${told.name} ended by itself with ${code}`)
    else tell(`           ${told.name} could not start, and ended with ${code}`)
  })
}

async function signal(life: Life, id: string, what: 'KILL' | 'STOP' | 'CONT'): Promise<void> {
  if (!life.running) return
  const ended = life.gone.promise.then(() => true)
  await docker(['exec', id, 'sh', '-c', `kill -s ${what} $(cat /proc/1/task/1/children)`]).catch(async (error) => {
    if (!(await Promise.race([ended, pause(HEAR_MS, false)]))) throw error // it did not end just then: it was not told
  })
}

/** Who finds Postgres away, or is cut off from it, when it starts may end, and is started again: that is no crash. */
async function hasListened(id: string, bornAt: number, endedAt: number): Promise<boolean> {
  const said = await docker(['logs', '--since', `${bornAt}`, '--until', `${endedAt}`, id])
  return said.includes('service listening')
}
