/**
 * The service that benchmark steps call, in a process of its own: a minimal HTTP/1.1 server on plain sockets, so that it costs little beside
 * what is measured. `GET /s/<tag>/<run>/<step>` answers and remembers when it was asked; `GET /seen/<tag>` gives `{run: {step: [ms, …]}}`.
 * Times are milliseconds since 1970, with fractions.
 */
import { createServer, type Socket } from 'node:net'

const BODY = '{"ok":true,"value":42}'
const OK = responseOf(BODY)
const seen = new Map<string, Map<string, Map<string, number[]>>>()

function responseOf(body: string): string {
  return `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

function remember(tag: string, run: string, step: string): void {
  const runs = getOrMake(seen, tag, () => new Map<string, Map<string, number[]>>())
  const steps = getOrMake(runs, run, () => new Map<string, number[]>())
  getOrMake(steps, step, () => []).push(performance.timeOrigin + performance.now())
}

function getOrMake<V>(map: Map<string, V>, key: string, make: () => V): V {
  const found = map.get(key)
  if (found !== undefined) return found
  const made = make()
  map.set(key, made)
  return made
}

function answer(path: string): string {
  const [, kind, tag = '', run = '', step = ''] = path.split('/')
  if (kind === 's') {
    remember(tag, run, step)
    return OK
  }
  if (kind !== 'seen') return OK
  const runs = [...(seen.get(tag) ?? [])].map(([id, steps]) => [id, Object.fromEntries(steps)])
  return responseOf(JSON.stringify(Object.fromEntries(runs)))
}

function serve(socket: Socket): void {
  let buffered = ''
  socket.setNoDelay(true)
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk) => {
    buffered += chunk.toString('latin1')
    let out = ''
    for (let end = buffered.indexOf('\r\n\r\n'); end >= 0; end = buffered.indexOf('\r\n\r\n')) {
      const from = buffered.indexOf(' ') + 1
      out += answer(buffered.slice(from, buffered.indexOf(' ', from)))
      buffered = buffered.slice(end + 4)
    }
    if (out !== '') socket.write(out)
  })
}

const server = createServer(serve)
server.listen(0, '127.0.0.1', 4_096, () => {
  const address = server.address()
  process.send?.({ port: typeof address === 'object' && address !== null ? address.port : 0 })
})
process.once('disconnect', () => process.exit(0))
