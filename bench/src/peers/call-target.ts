import { Agent, request } from 'undici'
import { CALLS_AT_ONCE, type RunRequest } from '../engine.ts'

/** The step of every peer: one GET over kept connections, with the JSON of the answer. */
export function createTargetCaller(targetUrl: string): (run: RunRequest, step: string) => Promise<unknown> {
  const agent = new Agent({ connections: CALLS_AT_ONCE, pipelining: 1, keepAliveTimeout: 60_000 })
  return async ({ tag, id, delayMs }, step) => {
    const query = delayMs === undefined ? '' : `?d=${delayMs}`
    const response = await request(`${targetUrl}/s/${tag}/${id}/${step}${query}`, { dispatcher: agent })
    if (response.statusCode !== 200) throw new Error(`the called service answered ${response.statusCode}`)
    return response.body.json()
  }
}
