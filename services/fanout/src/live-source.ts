/**
 * Live events from the Redis streams `events:{0..15}`. Every replica reads all of them with plain XREAD on a connection of its own (on a cluster
 * one for each lane), and only while somebody is connected: an idle fanout asks Redis for nothing. Losing any of it is allowed; `run:` topics are repaired from Postgres.
 */
import { ENTRY_FIELD, keys, type LiveEvent, PARTITION_COUNT } from '@baton/contracts'
import { createReaderSource, type ReaderSource, type Redis, readsOf } from '@baton/runtime'

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
  lanes: Lane[]
  stopped: boolean
  ready: Promise<void>
}

/** Streams that are read together. */
interface Lane {
  streams: readonly string[]
  readers: ReaderSource
  positions: Map<string, string>
}

/** Makes the source; it is stopped. */
export function createLiveSource(options: LiveSourceOptions): LiveSource {
  let session: Session | undefined

  /** Stands at the end of every stream; behind the end when a stream was made again with an earlier clock. */
  async function findEnds(redis: Redis, { streams, positions }: Lane): Promise<void> {
    const ends = await Promise.all(streams.map((stream) => redis.xrevrange(stream, '+', '-', 'COUNT', 1)))
    for (const [index, stream] of streams.entries()) {
      const end = ends[index]?.[0]?.[0]
      const position = positions.get(stream)
      if (position === undefined) positions.set(stream, end ?? '0-0')
      else if (end !== undefined && isBefore(end, position)) positions.set(stream, '0-0')
    }
  }

  async function readOnce(current: Session, lane: Lane): Promise<void> {
    const { streams, positions } = lane
    const ids = streams.map((stream) => positions.get(stream) ?? '0-0')
    const { reading } = lane.readers.open(streams)
    const reply = await reading.xread('COUNT', ENTRIES_MAX, 'BLOCK', BLOCK_MS, 'STREAMS', ...streams, ...ids)
    if (current.stopped) return
    if (reply === null) return findEnds(current.redis, lane)
    const events: LiveEvent[] = []
    let latest = ''
    for (const [stream, entries] of reply) {
      for (const [, fields] of entries) readEntry(fields, events)
      latest = entries.at(-1)![0]
      positions.set(stream, latest)
    }
    if (latest !== '') options.onLag(Math.max(0, Date.now() - Number(latest.split('-')[0])))
    if (events.length > 0) options.onEvents(events)
  }

  async function run(current: Session, lane: Lane, begun: () => void): Promise<void> {
    while (!current.stopped) {
      try {
        if (lane.positions.size === 0) {
          await findEnds(current.redis, lane)
          begun()
        }
        await readOnce(current, lane)
      } catch (err) {
        if (current.stopped) return
        lane.readers.failed()
        options.onFailed(err)
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
  }

  function begin(redis: Redis): Session {
    const begun = Promise.withResolvers<void>()
    const timer = setTimeout(begun.resolve, READY_MS_MAX)
    const lanes = readsOf(redis, STREAMS).map((streams) => ({
      streams,
      readers: createReaderSource(redis, 'fanout-events-read'),
      positions: new Map(),
    }))
    const current: Session = { redis, lanes, stopped: false, ready: begun.promise }
    const each = lanes.map((lane) => new Promise<void>((resolve) => void run(current, lane, resolve)))
    void Promise.all(each).then(() => {
      clearTimeout(timer)
      begun.resolve()
      options.onBegun()
    })
    return current
  }

  return {
    start() {
      session ??= begin(options.connect())
    },
    stop() {
      if (session === undefined) return
      session.stopped = true
      for (const lane of session.lanes) lane.readers.close()
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
