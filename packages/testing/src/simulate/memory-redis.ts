/** A Redis server in memory. Commands are executed whole, one after the other, as they arrive. */
import { createStreams, type Streams, type StreamWatcher } from './memory-streams.ts'

type Arg = string | number
/** What a blocking read answers when there is nothing yet. */
export const BLOCKED = Symbol('blocked')
/** It has run for a while when a simulation begins. */
const UPTIME_S = 3_600

export interface MemoryRedis {
  streams: Streams
  /** Executes a command, or throws as Redis answers with an error. */
  execute(name: string, args: readonly Arg[], by: string): unknown
  /** Who asked for the command that is executed. */
  readonly actor: string
  /** Called whenever something was added to a stream, and with an error when all is gone; until it says that it has what it wants. */
  wait(waiter: (error?: Error) => boolean): void
  /** A connection that may block: `unblock` ends its read, if there is one. Gives its id, for CLIENT UNBLOCK. */
  connect(unblock: () => boolean): number
  /** FLUSHALL, or a Redis that lost its data. */
  flush(): void
  /** Redis comes back without some of what it was told since then. */
  forget(since: number, isKept: () => boolean): void
  /** Counts losses of data: whoever saw another number cannot rely on what was there. */
  readonly losses: number
}

/** An empty Redis; `now` in ms since 1970. */
export function createMemoryRedis(now: () => number, watcher: StreamWatcher): MemoryRedis {
  let streams = createStreams(now, watcher)
  const values = new Map<string, { value: string; until: number }>()
  let waiters: ((error?: Error) => boolean)[] = []
  const connections: (() => boolean)[] = []
  let losses = 0
  let actor = ''

  const get = (key: string): string | null => {
    const found = values.get(key)
    if (!found) return null
    if (found.until > now()) return found.value
    values.delete(key)
    return null
  }

  function set([key, value, ...options]: readonly Arg[]): string | null {
    const old = get(String(key))
    const ttl = options.indexOf('PX')
    if (!options.includes('NX') || old === null) {
      values.set(String(key), { value: String(value), until: ttl < 0 ? Number.POSITIVE_INFINITY : now() + Number(options[ttl + 1]) })
    } else if (!options.includes('GET')) return null
    return options.includes('GET') ? old : 'OK'
  }

  const commands: Record<string, (args: readonly Arg[]) => unknown> = {
    ping: () => 'PONG',
    info: () => `run_id:${losses}\r\nuptime_in_seconds:${UPTIME_S}\r\n`,
    get: ([key]) => get(String(key)),
    set,
    del: (names) => names.filter((key) => values.delete(String(key))).length,
    exists: (names) => names.filter((key) => get(String(key)) !== null).length,
    incr: ([key]) => {
      const next = Number(get(String(key)) ?? 0) + 1
      values.set(String(key), { value: String(next), until: Number.POSITIVE_INFINITY })
      return next
    },
    expire: () => 1,
    persist: () => 0,
    client: ([, id]) => (connections[Number(id)]!() ? 1 : 0), // UNBLOCK
    publish: () => 0,
    time: () => [String(Math.floor(now() / 1_000)), String((now() % 1_000) * 1_000)],
    xadd: (args) => {
      const id = streams.add(String(args[0]), args.slice(args.indexOf('*') + 1).map(String))
      waiters = waiters.filter((waiter) => !waiter())
      return id
    },
    xrange: ([key, first, last, , count]) =>
      streams
        .range(String(key), String(first), String(last), Number(count ?? Number.POSITIVE_INFINITY))
        .map(({ id, fields }) => [id, fields]),
    xgroup: ([, key, group, at]) => streams.createGroup(String(key), String(group), String(at)),
    xreadgroup: (args) => readGroup(streams, args),
    xack: ([key, group, ...ids]) => streams.acknowledge(String(key), String(group), ids.map(String)),
    xdel: ([key, ...ids]) => streams.delete(String(key), ids.map(String)),
    xtrim: ([key, , id]) => streams.trimBelow(String(key), String(id)),
    xpending: ([key, group, ...rest]) => {
      const idle = rest[0] === 'IDLE' ? Number(rest[1]) : 0
      const [first, last, count] = rest[0] === 'IDLE' ? rest.slice(2) : rest
      return streams.pending(String(key), String(group), idle, String(first), String(last), Number(count))
    },
    xclaim: ([key, group, consumer, idle, ...rest]) => {
      const justId = rest.at(-1) === 'JUSTID'
      const ids = (justId ? rest.slice(0, -1) : rest).map(String)
      const claimed = streams.claim(String(key), String(group), String(consumer), Number(idle), ids, justId)
      return claimed.map(({ id, fields }) => (justId ? id : [id, fields]))
    },
    eval: ([script, , key, value, ttl]) => {
      // Scripts are known by what they do; one that is not known has to be told here.
      if (!/if not holder or holder == ARGV\[1\] then redis\.call\('set'/.test(String(script)))
        throw new Error('ERR a script that is not simulated')
      const holder = get(String(key))
      return holder === null || holder === value ? set([key!, value!, 'PX', ttl!]) : null
    },
    xinfo: ([what, key]) => (what === 'STREAM' ? streams.describe(String(key)) : streams.describeGroups(String(key))),
  }

  return {
    get streams() {
      return streams
    },
    execute(name, args, by) {
      actor = by
      const command = commands[name]
      if (!command) throw new Error(`ERR unknown command '${name}'`)
      return command(args)
    },
    wait(waiter) {
      waiters.push(waiter)
    },
    connect: (unblock) => connections.push(unblock) - 1,
    flush() {
      losses++
      values.clear()
      streams = createStreams(now, watcher)
      const woken = waiters
      waiters = []
      for (const waiter of woken) waiter(new Error('UNBLOCKED the stream key no longer exists'))
    },
    forget(since, isKept) {
      losses++
      for (const stream of streams.all.values()) stream.entries = stream.entries.filter((entry) => entry.ms < since || isKept())
      for (const key of [...values.keys()]) if (key.startsWith('inflight:') && !isKept()) values.delete(key)
    },
    get actor() {
      return actor
    },
    get losses() {
      return losses
    },
  }
}

function readGroup(streams: Streams, args: readonly Arg[]): unknown {
  const [, group, consumer] = args.map(String)
  const count = Number(args[args.indexOf('COUNT') + 1])
  const names = args.slice(args.indexOf('STREAMS') + 1).map(String)
  const half = names.length / 2
  const isNew = names[half] === '>'
  const found: [string, [string, string[] | null][]][] = []
  for (let i = 0; i < half; i++) {
    const entries = streams.readGroup(names[i]!, group!, consumer!, names[half + i]!, count)
    if (entries.length > 0 || !isNew) found.push([names[i]!, entries])
  }
  if (found.length > 0) return found
  return args.includes('BLOCK') ? BLOCKED : null
}
