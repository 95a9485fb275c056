/** Where things stand on this machine: the environment first, then the `.env` that `make up` wrote. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'

const SHOP_PORT = 8090
const ORCHESTRATOR_PORT = 8081

/** How the examples reach the stack; `apiKey` is undefined when none was ever made here. */
export interface StackSettings {
  url: string
  /** Of fanout; undefined = where the client looks for it by itself. */
  liveUrl: string | undefined
  apiKey: string | undefined
}

/** BATON_URL, BATON_LIVE_URL and BATON_API_KEY (or BATON_ADMIN_KEY), else the stack of this checkout. */
export function stackSettings(env: NodeJS.ProcessEnv = process.env): StackSettings {
  const local = { ...readDotEnv(), ...env }
  const offset = Number(local.BATON_PORT_OFFSET ?? 0)
  return {
    url: local.BATON_URL ?? `http://127.0.0.1:${ORCHESTRATOR_PORT + offset}`,
    liveUrl: local.BATON_LIVE_URL,
    apiKey: local.BATON_API_KEY ?? local.BATON_ADMIN_KEY,
  }
}

/** SHOP_PORT, else 8090 moved by BATON_PORT_OFFSET. */
export function shopPort(env: NodeJS.ProcessEnv = process.env): number {
  const local = { ...readDotEnv(), ...env }
  return Number(local.SHOP_PORT ?? SHOP_PORT + Number(local.BATON_PORT_OFFSET ?? 0))
}

function readDotEnv(): NodeJS.Dict<string> {
  try {
    return parseEnv(readFileSync(join(import.meta.dirname, '../../.env'), 'utf8'))
  } catch {
    return {} // the environment says it all, or the demo says what is missing
  }
}
