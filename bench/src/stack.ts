/** The running stack as the benchmark sees it: its REST API, and the processes behind it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { Agent, request } from 'undici'
import { cpuMsOf, findProcesses } from './processes.ts'

const PORTS = { orchestrator: 8081, 'workflow-runner': 8082, 'http-worker': 8083, 'hitl-worker': 8084, fanout: 8085, 'agent-runner': 8086 }

export interface Stack {
  /** Calls `/api/v1<path>`; rejects unless the answer is 2xx. */
  call<T = unknown>(method: 'GET' | 'POST' | 'PUT', path: string, body?: unknown): Promise<T>
  /** CPU milliseconds so far, by process. */
  cpuMs(): Map<string, number>
  close(): Promise<void>
}

/** Opens the stack that BATON_URL or the `.env` of this checkout names; rejects with one clear sentence when it is not up. */
export async function openStack(env: NodeJS.ProcessEnv = process.env): Promise<Stack> {
  const settings = { ...readDotEnv(), ...env }
  const offset = Number(settings.BATON_PORT_OFFSET ?? 0)
  const base = settings.BATON_URL ?? `http://127.0.0.1:${PORTS.orchestrator + offset}`
  const key = settings.BATON_API_KEY ?? settings.BATON_ADMIN_KEY
  const agent = new Agent({ connections: 256, pipelining: 1, headersTimeout: 90_000, bodyTimeout: 90_000 })
  const call: Stack['call'] = async (method, path, body) => {
    const headers = { authorization: `Bearer ${key}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) }
    const payload = body === undefined ? null : JSON.stringify(body)
    const response = await request(`${base}/api/v1${path}`, { method, dispatcher: agent, headers, body: payload })
    const text = await response.body.text()
    if (response.statusCode >= 300) throw new Error(`${method} ${path} answered ${response.statusCode}: ${text.slice(0, 300)}`)
    return JSON.parse(text)
  }
  await request(`${base}/healthz`, { dispatcher: agent }).then(
    (response) => response.body.dump(),
    () => {
      throw new Error(`nothing answers at ${base}: run "make up" first`)
    },
  )
  const processes = findProcesses(portsOf(settings, offset))
  return { call, cpuMs: () => new Map([...processes].map(([name, pid]) => [name, cpuMsOf(pid)])), close: () => agent.close() }
}

function portsOf(settings: NodeJS.ProcessEnv, offset: number): Record<string, number> {
  const ports: Record<string, number> = {}
  for (const [name, port] of Object.entries(PORTS)) ports[name] = port + offset
  if (settings.DATABASE_URL) ports.postgres = Number(new URL(settings.DATABASE_URL).port || 5432)
  if (settings.REDIS_URL) ports.redis = Number(new URL(settings.REDIS_URL).port || 6379)
  return ports
}

function readDotEnv(): NodeJS.Dict<string> {
  try {
    return parseEnv(readFileSync(join(import.meta.dirname, '../../.env'), 'utf8'))
  } catch {
    return {} // the environment says it all, or openStack says what is missing
  }
}
