/** Connections that go only where they may: what is connected to is what was checked, because the check is part of connecting. */
import { lookup as dnsLookup } from 'node:dns'
import type { LookupFunction, Socket } from 'node:net'
import { buildConnector } from 'undici'
import { type AllowList, isAddress, refuseAddress, refuseName } from './addresses.ts'
import { AddressRefused } from './outbound-errors.ts'

/** All addresses of a name. Rejects when there are none. */
export type Lookup = (name: string) => Promise<{ address: string; family: 4 | 6 }[]>

/** Asks the resolver of the system. */
export const systemLookup: Lookup = (name) =>
  new Promise((resolve, reject) => {
    dnsLookup(name, { all: true }, (error, addresses) => {
      if (error) reject(error)
      else resolve(addresses as { address: string; family: 4 | 6 }[])
    })
  })

const LOOPBACK: { address: string; family: 4 | 6 }[] = [
  { address: '127.0.0.1', family: 4 },
  { address: '::1', family: 6 },
]

/** Throws AddressRefused unless the URL is one whose host may be looked up or called. Gives the host without brackets and trailing dot. */
export function checkUrl(url: URL, allow: AllowList): string {
  const host = hostOf(url.hostname)
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new AddressRefused(host || url.protocol, `only http and https, not ${url.protocol}`)
  if (url.username !== '' || url.password !== '') throw new AddressRefused(host, 'credentials stand in the URL; use `auth` of the step')
  if (host === '') throw new AddressRefused(url.hostname, 'no host')
  const reason = refuseHost(host, allow)
  if (reason !== undefined) throw new AddressRefused(host, reason)
  return host
}

const verdicts = new WeakMap<AllowList, Map<string, string | undefined>>()
const VERDICTS_MAX = 1_000

/** What the text of a host says never changes, and the same few hosts are called all the time. What a name resolves to is not kept. */
function refuseHost(host: string, allow: AllowList): string | undefined {
  const known = verdicts.get(allow) ?? new Map<string, string | undefined>()
  verdicts.set(allow, known)
  if (known.has(host)) return known.get(host)
  const reason = isAddress(host) ? refuseAddress(host, allow) : refuseName(host, allow)
  if (known.size >= VERDICTS_MAX) known.clear()
  known.set(host, reason)
  return reason
}

function hostOf(hostname: string): string {
  const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
  return host.toLowerCase().replace(/\.$/, '')
}

/**
 * A connector for undici: literal addresses are checked, names are resolved once per connection, all answers are checked (one bad one
 * refuses the name), and the socket goes to one of just these.
 */
export function createGuardedConnector(allow: AllowList, lookup: Lookup, connectTimeoutMs: number): buildConnector.connector {
  const resolve: LookupFunction = (hostname, options, callback) => {
    resolveChecked(hostOf(hostname), allow, lookup).then(
      (addresses) => {
        if (options.all) callback(null, addresses)
        else callback(null, addresses[0]!.address, addresses[0]!.family)
      },
      (error: NodeJS.ErrnoException) => callback(error, '', 0),
    )
  }
  const connect = buildConnector({
    timeout: connectTimeoutMs,
    allowH2: false,
    lookup: resolve,
    autoSelectFamily: true,
  } as buildConnector.BuildOptions)
  return (options, callback) => {
    const host = hostOf(options.hostname)
    const reason = isAddress(host) ? refuseAddress(host, allow) : undefined
    if (reason !== undefined) return callback(new AddressRefused(host, reason), null)
    connect(options, (...[error, socket]) => {
      if (error) return callback(error, null)
      const refused = refuseSocket(socket as Socket, host, allow)
      if (!refused) return callback(null, socket as Socket)
      socket?.destroy()
      callback(refused, null)
    })
  }
}

async function resolveChecked(name: string, allow: AllowList, lookup: Lookup): Promise<{ address: string; family: 4 | 6 }[]> {
  // RFC 6761: these are loopback, whatever a resolver says.
  const addresses = name === 'localhost' || name.endsWith('.localhost') ? LOOPBACK : await lookup(name)
  if (addresses.length === 0) throw Object.assign(new Error(`no address for ${name}`), { code: 'ENOTFOUND' })
  if (allow.names.has(name)) return addresses
  if (addresses === LOOPBACK) return allowedLoopback(name, allow)
  for (const { address } of addresses) {
    const reason = refuseAddress(address, allow)
    if (reason !== undefined) throw new AddressRefused(name, `it resolves to ${address}: ${reason}`)
  }
  return addresses
}

/** `localhost` is two addresses; the one that is let through is enough. */
function allowedLoopback(name: string, allow: AllowList): { address: string; family: 4 | 6 }[] {
  const allowed = LOOPBACK.filter(({ address }) => refuseAddress(address, allow) === undefined)
  if (allowed.length === 0) throw new AddressRefused(name, 'it resolves to 127.0.0.1: loopback')
  return allowed
}

/** Belt and braces: the peer's address once more, from the socket itself. */
function refuseSocket(socket: Socket, host: string, allow: AllowList): AddressRefused | undefined {
  if (allow.names.has(host) || socket.remoteAddress === undefined) return undefined
  const reason = refuseAddress(socket.remoteAddress, allow)
  return reason === undefined ? undefined : new AddressRefused(host, `it connected to ${socket.remoteAddress}: ${reason}`)
}
