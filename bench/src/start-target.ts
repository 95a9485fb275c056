import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Agent, request } from 'undici'

/** The called service, and what it saw. Times are milliseconds since 1970. */
export interface Target {
  url: string
  /** When each step of each run was asked for. */
  seen(tag: string): Promise<Record<string, Record<string, number[]>>>
  /** Resolves as soon as so many different steps have been asked for; rejects when `timeoutMs` is over. */
  until(tag: string, steps: number, timeoutMs: number): Promise<void>
  forget(): Promise<void>
  stop(): Promise<void>
}

/** Starts the service in a process of its own, which ends with this one. */
export async function startTarget(): Promise<Target> {
  const child = fork(join(import.meta.dirname, 'target.ts'), { execArgv: ['--no-warnings'] })
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  const url = `http://127.0.0.1:${port}`
  const agent = new Agent({ headersTimeout: 0, bodyTimeout: 0 })
  const get = async (path: string, signal?: AbortSignal) => {
    const { body } = await request(`${url}${path}`, { dispatcher: agent, ...(signal && { signal }) })
    return body.json()
  }
  return {
    url,
    seen: async (tag) => (await get(`/seen/${tag}`)) as Record<string, Record<string, number[]>>,
    until: async (tag, steps, timeoutMs) => {
      await get(`/until/${tag}/${steps}`, AbortSignal.timeout(timeoutMs)).catch((error: Error) => {
        throw error.name === 'TimeoutError' ? new Error(`fewer than ${steps} steps were called within ${timeoutMs} ms`) : error
      })
    },
    forget: async () => void (await get('/forget')),
    stop: async () => {
      child.disconnect()
      await agent.destroy()
    },
  }
}
