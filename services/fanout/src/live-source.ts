/**
 * Live events from the Redis streams `events:{0..15}`. Every replica reads all of them with plain XREAD on a connection of its own, and only
 * while somebody is connected: an idle fanout asks Redis for nothing. Losing any of it is allowed; `run:` topics are repaired from Postgres.
 */
import { ENTRY_FIELD, keys, type LiveEvent, PARTITION_COUNT } from '@baton/contracts'
import type { Redis } from '@baton/runtime'

/** The source of live events. */
export interface LiveSource {
  /** Begins with what is published from now on. */
  start(): void
  stop(): void
  /** Resolves when what is published from now on will be seen; at the latest after two seconds. */
  ready(): Promise<void>
}

export interface LiveSourceOptions {
  /** Opens a blocking connection. */
  connect(): Redis
  onEvents(events: LiveEvent[]): void
  /** Reading has begun: what was published before is for Postgres to tell. */
  onBegun(): void
  /** Milliseconds between the publishing of the latest entry, by the clock of Redis, and its reading. */
  onLag(ms: number): void
  onFailed(err: unknown): void
}

const STREAMS = Array.from({ length: PARTITION_COUNT }, (_, lane) => keys.events(lane))
const ENTRIES_MAX = 200
const BLOCK_MS = 5_000
const RETRY_MS = 500
const READY_MS_MAX = 2_000

interface Session {
  redis: Redis
  stopped: boolean
  positions: Map<string, string>
  ready: Promise<void>
}

/** Makes the source; it is stopped. */
export function createLiveSource(options: LiveSourceOptions): LiveSource {
  let session: Session | undefined

  /** Stands at the end of every stream; behind the end when a stream was made again with an earlier clock. */
  async function findEnds({ redis, positions }: Session): Promise<void> {
    const ends = await Promise.all(STREAMS.map((stream) => redis.xrevrange(stream, '+', '-', 'COUNT', 1)))
    for (const [index, stream] of STREAMS.entries()) {
      const end = ends[index]?.[0]?.[0]
      const position = positions.get(stream)
      if (position === undefined) positions.set(stream, end ?? '0-0')
      else if (end !== undefined && isBefore(end, position)) positions.set(stream, '0-0')
    }
  }

  async function readOnce(current: Session): Promise<void> {
    const ids = STREAMS.map((stream) => current.positions.get(stream) ?? '0-0')
    const reply = await current.redis.xread('COUNT', ENTRIES_MAX, 'BLOCK', BLOCK_MS, 'STREAMS', ...STREAMS, ...ids)
    if (current.stopped) return
    if (reply === null) return findEnds(current)
    const events: LiveEvent[] = []
    let latest = ''
    for (const [stream, entries] of reply) {
      for (const [, fields] of entries) readEntry(fields, events)
      latest = entries.at(-1)![0]
      current.positions.set(stream, latest)
    }
    if (latest !== '') options.onLag(Math.max(0, Date.now() - Number(latest.split('-')[0])))
    if (events.length > 0) options.onEvents(events)
  }

  async function run(current: Session, begun: () => void): Promise<void> {
    while (!current.stopped) {
      try {
        if (current.positions.size === 0) {
          await findEnds(current)
          begun()
        }
        await readOnce(current)
      } catch (err) {
        if (current.stopped) return
        options.onFailed(err)
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
  }

  return {
    start() {
      if (session !== undefined) return
      const begun = Promise.withResolvers<void>()
      const timer = setTimeout(begun.resolve, READY_MS_MAX)
      session = { redis: options.connect(), stopped: false, positions: new Map(), ready: begun.promise }
      void run(session, () => {
        clearTimeout(timer)
        begun.resolve()
        options.onBegun()
      })
    },
    stop() {
      if (session === undefined) return
      session.stopped = true
      session.redis.disconnect()
      session = undefined
    },
    async ready() {
      await session?.ready
    },
  }
}

/**
 * Adds the events of one entry. This is the hottest boundary there is, so an event is checked for what fanout itself relies on and not by
 * its whole schema; the rest goes out as it came from the runner.
 */
function readEntry(fields: string[], events: LiveEvent[]): void {
  const text = fields[fields.indexOf(ENTRY_FIELD) + 1]
  if (text === undefined) return
  let entry: unknown
  try {
    entry = JSON.parse(text)
  } catch {
    return
  }
  if (!Array.isArray(entry)) return
  for (const event of entry) if (isLiveEvent(event)) events.push(event)
}

function isLiveEvent(value: unknown): value is LiveEvent {
  const event = value as LiveEvent
  if (typeof value !== 'object' || value === null || !Number.isSafeInteger(event.seq) || !Number.isFinite(event.at)) return false
  return [event.runId, event.type, event.path, event.namespace, event.workflow].every((text) => typeof text === 'string')
}

function isBefore(a: string, b: string): boolean {
  const [aMs = 0, aSeq = 0] = a.split('-').map(Number)
  const [bMs = 0, bSeq = 0] = b.split('-').map(Number)
  return aMs < bMs || (aMs === bMs && aSeq < bSeq)
}
