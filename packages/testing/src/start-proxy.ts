/** A connection in between that can be taken away. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Teardown } from './test-database.ts'

/** A server of TCP that is reached through us. */
export interface Proxy {
  /** That of the server, with our address. */
  url: string
  /** Ends new connections at once, and those that are open. */
  refuse(): void
  accept(): void
  /** Resets the connections that are open. */
  cut(): void
}

/** Forwards connections to the host and port of `target`; ends with the test. */
export async function startProxy(t: Teardown, target: string): Promise<Proxy> {
  const { hostname, port } = new URL(target)
  const open = new Set<Socket>()
  let refuses = false
  const server = createServer((near) => {
    near.on('error', () => {})
    if (refuses) return near.resetAndDestroy()
    const far = connect(Number(port), hostname).on('error', () => {})
    open.add(near)
    near.once('close', () => far.destroy() && open.delete(near))
    far.once('close', () => near.destroy())
    near.pipe(far).pipe(near)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const cut = () => {
    for (const socket of open) socket.resetAndDestroy()
  }
  t.teardown(() => {
    server.close()
    cut()
  })
  const url = new URL(target)
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url: url.href,
    cut,
    refuse() {
      refuses = true
      cut()
    },
    accept() {
      refuses = false
    },
  }
}
