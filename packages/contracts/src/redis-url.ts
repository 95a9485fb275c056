/** What REDIS_URL may say: one server, the master that sentinels name, or a cluster; each also over TLS. Nothing is read or connected here. */

export interface RedisHost {
  host: string
  port: number
}

/** TLS as it is asked for; the files are read by whoever connects. */
export interface RedisTls {
  /** Path of the certificates to trust instead of those of the system. */
  ca?: string
  /** Paths of a certificate and its key to show to the server. */
  cert?: string
  key?: string
  /** The name that the certificate of the server is checked against, in place of the host. */
  servername?: string
}

interface RedisLogin {
  username?: string
  password?: string
}

/** Where Redis is, and how to get in. */
export interface RedisPlace extends RedisLogin {
  kind: 'single' | 'sentinel' | 'cluster'
  /** The server; or sentinels, or some nodes of the cluster, which name the rest. */
  hosts: RedisHost[]
  tls?: RedisTls
  db: number
  /** The name that sentinels know the master by. */
  master?: string
  /** To get in at the sentinels, which have a password of their own. */
  sentinelLogin?: RedisLogin
  /** 4 or 6: which addresses of a host name to take. */
  family?: number
}

const SCHEMES: Record<string, Pick<RedisPlace, 'kind' | 'tls'>> = {
  'redis:': { kind: 'single' },
  'rediss:': { kind: 'single', tls: {} },
  'redis+sentinel:': { kind: 'sentinel' },
  'rediss+sentinel:': { kind: 'sentinel', tls: {} },
  'redis+cluster:': { kind: 'cluster' },
  'rediss+cluster:': { kind: 'cluster', tls: {} },
}
const PORTS = { single: 6379, sentinel: 26_379, cluster: 6379 } as const
const TLS_PARAMETERS = ['ca', 'cert', 'key', 'servername'] as const
const PARAMETERS = new Set<string>([...TLS_PARAMETERS, 'family', 'sentinelUsername', 'sentinelPassword'])

const FORMS =
  'redis://host:6379/0, redis+sentinel://host:26379,host:26379/<name of the master>, redis+cluster://host:6379,host:6379, or the same with rediss for TLS'

/** Says what is wrong with a REDIS_URL and how to right it, without its passwords. Reads as the end of "expected …". */
export class RedisUrlError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'RedisUrlError'
  }
}

/** Takes a REDIS_URL apart. Throws RedisUrlError. */
export function parseRedisUrl(text: string): RedisPlace {
  const parts = /^([a-z+]+:)\/\/(?:([^/?#]*)@)?([^/?#@]*)(\/[^?#]*)?(?:\?([^#]*))?$/.exec(text)
  const scheme = parts?.[1] && Object.hasOwn(SCHEMES, parts[1]) ? SCHEMES[parts[1]] : undefined
  if (!parts || !scheme) throw new RedisUrlError(`one of ${FORMS}; a user and password stand before the hosts as user:password@, % encoded`)
  const [, , login, hosts, path, query] = parts
  const { kind } = scheme
  const parameters = parametersOf(query ?? '')
  const place: RedisPlace = { kind, hosts: hostsOf(hosts!, kind), db: 0, ...(login === undefined ? {} : loginOf(login)) }
  placeOf(path ?? '', place)
  addParameters(place, parameters, scheme.tls !== undefined)
  return place
}

/** As it may be shown: the scheme, the hosts and the name of the master. */
export function redisUrlForLog(text: string): string {
  try {
    const { kind, hosts, master, tls } = parseRedisUrl(text)
    const scheme = `redis${tls ? 's' : ''}${kind === 'single' ? '' : `+${kind}`}`
    return `${scheme}://${hosts.map(addressOf).join(',')}${master === undefined ? '' : `/${master}`}`
  } catch {
    return 'REDIS_URL'
  }
}

const addressOf = ({ host, port }: RedisHost) => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`)

function hostsOf(text: string, kind: RedisPlace['kind']): RedisHost[] {
  const hosts = text.split(',').map((part) => hostOf(part, PORTS[kind]))
  if (kind === 'single' && hosts.length > 1)
    throw new RedisUrlError(`one host after redis://, not ${hosts.length}: several need redis+cluster:// or redis+sentinel://`)
  return hosts
}

function hostOf(text: string, port: number): RedisHost {
  const parts = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+)(?::(\d{1,5}))?$/.exec(text)
  if (!parts || Number(parts[2] ?? port) > 65_535 || parts[2] === '0')
    throw new RedisUrlError(`host or host:port in place of "${text}", separated by commas, IPv6 addresses in brackets`)
  return { host: parts[1]!.replace(/^\[|\]$/g, ''), port: Number(parts[2] ?? port) }
}

function loginOf(text: string): RedisLogin {
  const colon = text.indexOf(':')
  const username = decode(colon < 0 ? text : text.slice(0, colon))
  const password = colon < 0 ? '' : decode(text.slice(colon + 1))
  return { ...(username === '' ? {} : { username }), ...(password === '' ? {} : { password }) }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new RedisUrlError('user and password % encoded: write % itself as %25')
  }
}

/** What stands behind the hosts: `/db`, `/master` or `/master/db`, nothing for a cluster. */
function placeOf(path: string, place: RedisPlace): void {
  const parts = path.split('/').filter((part) => part !== '')
  if (place.kind === 'sentinel') {
    const master = parts.shift()
    if (master === undefined)
      throw new RedisUrlError('the name of the master behind the sentinels: redis+sentinel://host:26379,host:26379/mymaster')
    place.master = decode(master)
  }
  const [db = '0'] = parts
  if (!/^\d{1,5}$/.test(db) || parts.length > 1)
    throw new RedisUrlError(`the number of a database in place of "${parts.join('/')}" behind the ${place.master ? 'master' : 'host'}`)
  if (place.kind === 'cluster' && Number(db) !== 0) throw new RedisUrlError('no database behind the hosts: a cluster has only database 0')
  place.db = Number(db)
}

function parametersOf(query: string): Map<string, string> {
  const parameters = new Map(new URLSearchParams(query))
  for (const name of parameters.keys())
    if (!PARAMETERS.has(name)) throw new RedisUrlError(`none but these parameters: ${[...PARAMETERS].join(', ')}; it has "${name}"`)
  return parameters
}

function addParameters(place: RedisPlace, parameters: ReadonlyMap<string, string>, isTls: boolean): void {
  const tls = Object.fromEntries(TLS_PARAMETERS.flatMap((name) => (parameters.has(name) ? [[name, parameters.get(name)!]] : [])))
  const [first] = Object.keys(tls)
  if (!isTls && first !== undefined) throw new RedisUrlError(`rediss in place of redis: "${first}" is for TLS`)
  if (parameters.has('cert') !== parameters.has('key')) throw new RedisUrlError('both "cert" and "key", or neither')
  if (isTls) place.tls = tls
  const username = parameters.get('sentinelUsername')
  const password = parameters.get('sentinelPassword')
  if ((username ?? password) !== undefined) {
    if (place.kind !== 'sentinel') throw new RedisUrlError('redis+sentinel:// with sentinelUsername or sentinelPassword')
    place.sentinelLogin = { ...(username === undefined ? {} : { username }), ...(password === undefined ? {} : { password }) }
  }
  const family = parameters.get('family')
  if (family === undefined) return
  if (family !== '4' && family !== '6') throw new RedisUrlError('family=4 or family=6')
  place.family = Number(family)
}
