/** The API of a peer's user: a peer that is a library is started and asked over HTTP, as Baton is, by way of this. */
import { createServer, type Server } from 'node:http'
import { text } from 'node:stream/consumers'
import { Agent, request } from 'undici'
import type { Client, RunRequest } from '../engine.ts'
import type { Handlers } from './peer.ts'

/** Serves the handlers as `POST /start`, `/run` and `/approve`; resolves when it listens. */
export async function serveControl(port: number, handlers: Handlers): Promise<Server> {
  const server = createServer(async (incoming, answer) => {
    const name = incoming.url?.slice(1) as keyof Handlers
    try {
      await handlers[name](JSON.parse(await text(incoming)) as RunRequest)
      answer.writeHead(200, { 'content-type': 'application/json', 'content-length': 2 }).end('{}')
    } catch (error) {
      answer.writeHead(500).end(String(error instanceof Error ? error.stack : error))
    }
  })
  server.keepAliveTimeout = 120_000
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', 4_096, resolve))
  return server
}

/** The other end. `done` is asked of the peer's own records. */
export function connectControl(port: number, done: Client['done'], close: () => Promise<void> = async () => {}): Client {
  const agent = new Agent({ connections: 256, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 })
  const send = (name: keyof Handlers) => async (run: RunRequest) => {
    await postJson(agent, `http://127.0.0.1:${port}/${name}`, run)
  }
  return {
    start: send('start'),
    run: send('run'),
    approve: send('approve'),
    done,
    async close() {
      await agent.destroy()
      await close()
    },
  }
}

/** Posts JSON; rejects unless the answer is 2xx. */
export async function postJson(agent: Agent, url: string, body: unknown): Promise<unknown> {
  const headers = { 'content-type': 'application/json', accept: 'application/json' }
  const response = await request(url, { method: 'POST', dispatcher: agent, headers, body: JSON.stringify(body) })
  const answer = await response.body.text()
  if (response.statusCode >= 300) throw new Error(`POST ${url} answered ${response.statusCode}: ${answer.slice(0, 300)}`)
  return answer === '' ? undefined : JSON.parse(answer)
}
