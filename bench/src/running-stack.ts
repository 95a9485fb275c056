/** The stack that runs already, for `make bench`: its public API, and the processes behind its ports. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { SERVICES } from '@baton/embedded'
import { request } from 'undici'
import { type BatonClient, createBatonClient } from './baton-client.ts'
import type { Processes } from './engine.ts'
import { findProcesses } from './processes.ts'

/** Opens the stack that BATON_URL or the `.env` of this checkout names; rejects with one clear sentence when it is not up. */
export async function openRunningStack(env: NodeJS.ProcessEnv = process.env): Promise<{ client: BatonClient; processes(): Processes }> {
  const settings = { ...readDotEnv(), ...env }
  const offset = Number(settings.BATON_PORT_OFFSET ?? 0)
  const base = settings.BATON_URL ?? `http://127.0.0.1:${SERVICES.orchestrator + offset}`
  await request(`${base}/healthz`).then(
    (response) => response.body.dump(),
    () => {
      throw new Error(`nothing answers at ${base}: run "make up" first`)
    },
  )
  const services = findProcesses(Object.fromEntries(Object.entries(SERVICES).map(([name, port]) => [name, port + offset])))
  const stores = findProcesses(storePorts(settings))
  const client = createBatonClient(base, settings.BATON_API_KEY ?? settings.BATON_ADMIN_KEY ?? '')
  return { client, processes: () => ({ services, stores }) }
}

function storePorts(settings: NodeJS.ProcessEnv): Record<string, number> {
  const ports: Record<string, number> = {}
  if (settings.DATABASE_URL) ports.postgres = Number(new URL(settings.DATABASE_URL).port || 5432)
  if (settings.REDIS_URL) ports.redis = Number(new URL(settings.REDIS_URL).port || 6379)
  return ports
}

function readDotEnv(): NodeJS.Dict<string> {
  try {
    return parseEnv(readFileSync(join(import.meta.dirname, '../../.env'), 'utf8'))
  } catch {
    return {} // the environment says it all, or opening says what is missing
  }
}
