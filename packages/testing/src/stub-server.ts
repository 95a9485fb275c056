import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardown } from './test-database.ts'

/** A request as a stub saw it; `body` is parsed when it is JSON, else text (empty: undefined). */
export interface StubRequest {
  method: string
  /** Path with query. */
  path: string
  headers: IncomingHttpHeaders
  body: unknown
  at: number
}

/** What a stub answers: status 200 by default; `body` is sent as JSON unless it is text. `abort` cuts the connection instead. */
export interface StubAnswer {
  status?: number
  headers?: Record<string, string>
  body?: unknown
  abort?: boolean
}

/** An HTTP server on a free port of 127.0.0.1 that records what it was asked. */
export interface StubServer {
  url: string
  port: number
  requests: StubRequest[]
}

/** Starts a stub of somebody else's service; it is closed with the test, and its open connections with it. */
export async function stubServer(
  t: Teardown,
  handler: (request: StubRequest, index: number) => StubAnswer | undefined | Promise<StubAnswer | undefined> = () => ({}),
): Promise<StubServer> {
  const requests: StubRequest[] = []
  const server = createServer(async (incoming, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString('utf8')
    const request: StubRequest = {
      method: incoming.method ?? '',
      path: incoming.url ?? '',
      headers: incoming.headers,
      body: parseBody(text),
      at: Date.now(),
    }
    requests.push(request)
    const answer = await Promise.resolve(handler(request, requests.length - 1)).catch((error: Error) => ({
      status: 500,
      body: error.message,
    }))
    if (answer && 'abort' in answer && answer.abort) return void incoming.socket.destroy()
    const { status = 200, headers = {}, body } = { headers: {}, ...answer } as StubAnswer
    const type: Record<string, string> =
      body === undefined ? {} : { 'content-type': typeof body === 'string' ? 'text/plain' : 'application/json' }
    response.writeHead(status, { ...type, ...headers })
    response.end(body === undefined || typeof body === 'string' ? body : JSON.stringify(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port, requests }
}

function parseBody(text: string): unknown {
  if (text === '') return undefined
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
