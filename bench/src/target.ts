/**
 * The service that benchmark steps call, in a process of its own: a minimal HTTP/1.1 server on plain sockets, so that it costs little beside
 * what is measured. Times are milliseconds since 1970, with fractions.
 *   GET /s/<tag>/<run>/<step>[?d=ms]   answers (after so long) and remembers when it was asked, unless the tag begins with `-`
 *   GET /seen/<tag>                    {run: {step: [ms, …]}}
 *   GET /until/<tag>/<n>               answers as soon as n different steps have been asked for
 *   GET /forget                        forgets everything
 */
import { createServer, type Socket } from 'node:net'

type Seen = { runs: Map<string, Map<string, number[]>>; distinct: number; waiting: { wanted: number; socket: Socket }[] }

const OK = responseOf('{"ok":true,"value":42}')
const seen = new Map<string, Seen>()

function responseOf(body: string): string {
  return `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

function seenOf(tag: string): Seen {
  return getOrMake(seen, tag, () => ({ runs: new Map(), distinct: 0, waiting: [] }))
}

function getOrMake<V>(map: Map<string, V>, key: string, make: () => V): V {
  const found = map.get(key)
  if (found !== undefined) return found
  const made = make()
  map.set(key, made)
  return made
}

function remember(tag: string, run: string, step: string): void {
  if (tag.startsWith('-')) return
  const of = seenOf(tag)
  const steps = getOrMake(of.runs, run, () => new Map<string, number[]>())
  const times = getOrMake(steps, step, () => [])
  if (times.push(performance.timeOrigin + performance.now()) > 1) return
  of.distinct++
  if (of.waiting.length === 0) return
  for (const { wanted, socket } of of.waiting) if (wanted <= of.distinct) socket.write(OK)
  of.waiting = of.waiting.filter(({ wanted }) => wanted > of.distinct)
}

/** The answer to a path; undefined when it is written later. */
function answer(path: string, socket: Socket): string | undefined {
  const query = path.indexOf('?d=')
  const [, kind, tag = '', run = '', step = ''] = (query < 0 ? path : path.slice(0, query)).split('/')
  if (kind === 's') {
    remember(tag, run, step)
    if (query < 0) return OK
    setTimeout(() => socket.write(OK), Number(path.slice(query + 3)))
    return undefined
  }
  if (kind === 'until') {
    const of = seenOf(tag)
    if (of.distinct >= Number(run)) return OK
    of.waiting.push({ wanted: Number(run), socket })
    return undefined
  }
  if (kind === 'forget') seen.clear()
  if (kind !== 'seen') return OK
  const runs = [...(seen.get(tag)?.runs ?? [])].map(([id, steps]) => [id, Object.fromEntries(steps)])
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
      out += answer(buffered.slice(from, buffered.indexOf(' ', from)), socket) ?? ''
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
