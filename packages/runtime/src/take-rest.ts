/** What a client is still sending when its request has been answered already, because its body is too large. */
import type { IncomingMessage } from 'node:http'

/** More than this is not read only to be thrown away. */
const REST_BYTES_MAX = 32 * 1024 * 1024
const REST_MS_MAX = 2_000

/**
 * Reads and forgets the rest of a body, within bounds, so that the answer can be read: a connection that is closed while a client writes shows it
 * a broken pipe instead of what was wrong (RFC 9112, 9.6).
 */
export async function takeRest(request: IncomingMessage): Promise<void> {
  if (request.complete || request.destroyed || Number(request.headers['content-length'] ?? 0) > REST_BYTES_MAX) return
  await new Promise<void>((resolve) => {
    let bytes = 0
    const count = (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > REST_BYTES_MAX) done()
    }
    const done = () => {
      clearTimeout(timer)
      request.off('data', count)
      resolve()
    }
    const timer = setTimeout(done, REST_MS_MAX)
    request.on('data', count).once('end', done).once('close', done).once('error', done)
    request.resume()
  })
}
