import { join } from 'node:path'
import { lastWords } from './last-words.ts'
import { isAlive, type ProcessIdentity } from './process-identity.ts'
import { SERVICES, type ServiceName } from './services.ts'
import type { StackPaths } from './stack-paths.ts'
import { StackProblem } from './stack-problem.ts'
import { probe, reachable } from './stack-programs.ts'
import type { StackSettings } from './stack-settings.ts'
import { readState } from './stack-state.ts'
import { waitUntil } from './stop-process.ts'

/** How long the services may take until all are well (BATON_START_TIMEOUT_MS). */
const START_TIMEOUT_MS = 120_000

type Waiting = { services: ServiceName[]; supervisor: ProcessIdentity; say: (sentence: string) => void }

/** Resolves when each service answers 200 on /health, telling one by one; throws StackProblem when one does not stay up or time runs out. */
export async function waitForHealth(paths: StackPaths, settings: StackSettings, { services, supervisor, say }: Waiting): Promise<void> {
  const timeoutMs = Number(settings.values['BATON_START_TIMEOUT_MS']) || START_TIMEOUT_MS
  const begin = performance.now()
  const missing = new Map(services.filter((service) => settings.replicas[service] > 0).map((service) => [service, '']))
  const ask = async (service: ServiceName) => {
    const port = SERVICES[service] + settings.portOffset
    const { status, body } = await probe(settings.host, port, '/health')
    if (status !== 200) return missing.set(service, status === 0 ? 'no answer yet' : `${status} ${body.slice(0, 300)}`)
    missing.delete(service)
    const seconds = ((performance.now() - begin) / 1000).toFixed(1)
    say(`  ${service.padEnd(16)} ready   http://${reachable(settings.host)}:${port}   ${seconds} s`)
  }
  const allWell = await waitUntil(
    async () => {
      await Promise.all([...missing.keys()].map(ask))
      if (missing.size > 0) refuseDeath(paths, supervisor, [...missing.keys()])
      return missing.size === 0
    },
    timeoutMs,
    100,
  )
  if (allWell) return
  const list = [...missing].map(([service, why]) => `${service} (${why})`).join(', ')
  throw new StackProblem(`After ${timeoutMs / 1000} s these are not well: ${list}. Their logs are in ${paths.logs}.`)
}

function refuseDeath(paths: StackPaths, supervisor: ProcessIdentity, missing: ServiceName[]): void {
  if (!isAlive(supervisor)) {
    const log = join(paths.logs, 'supervisor.log')
    throw new StackProblem(`The supervisor has ended: ${lastWords(log)}\nSee ${log}`)
  }
  const lost = readState(paths)?.programs.find(({ status, service }) => status === 'crashing' && (!service || missing.includes(service)))
  if (!lost) return
  const log = join(paths.logs, `${lost.name}.log`)
  throw new StackProblem(`${lost.name} does not stay up (${lost.note}): ${lastWords(log)}\nSee ${log}`)
}
