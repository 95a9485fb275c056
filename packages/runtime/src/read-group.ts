import type { Redis } from 'ioredis'
import { createReaderSource, type Reader, type ReaderSource } from './layout.ts'
import { ensureGroups, type GroupOptions, healGroups, isGroupLost, parseEntries, type StreamEntry } from './streams.ts'

export interface ReadGroupOptions<T> extends GroupOptions<T> {
  /** Streams that one read may ask for (`readsOf`); a function is asked before each read. None: the read waits `blockMs`. */
  streams: readonly string[] | (() => readonly string[])
  /** Entries per stream and read at most; a function is asked before each read. Zero or less is read as 1: ask for the next batch only when there is room. */
  count: number | (() => number)
  /** How long one read blocks, in ms (5 000): how soon a change of `streams` is seen of which nothing tells. */
  blockMs?: number
  /**
   * Its event `change` tells that `streams` gives others now: the read that is blocked ends, and the next one asks for those. One that is sent
   * again because its connection broke can't be ended, and blocks for its time.
   */
  changes?: EventTarget
  /** Ends the iteration within a round trip; what was delivered before is still yielded. */
  signal: AbortSignal
  /** A group was gone and has been made again: what stood in Redis is lost. */
  onLost?(): void | Promise<void>
}

type RawReply = [stream: string, entries: [id: string, fields: string[] | null][]][] | null

/** A silent Redis is given up this long after a read should have come back. */
const GRACE_MS = 5_000
/** How long the end of a blocked read may take. */
const UNBLOCK_MS = 1_000
/** A read that could not be ended from outside, because the id of its connection is not known yet, is made to block no longer than this. */
const BLIND_BLOCK_MS = 1_000
/** An end that came before its read had reached Redis, or while a connection was being made, is asked for again after this long. */
const UNBLOCK_AGAIN_MS = 50

/**
 * Reads new entries of all streams, one blocking XREADGROUP at a time on a connection of its own. Yields the entries of one read, never
 * none. Goes on through restarts and flushes of Redis until `signal` is aborted. The consumer decides the pace: nothing is read ahead.
 */
export async function* readGroup<T>(options: ReadGroupOptions<T>): AsyncGenerator<StreamEntry<T>[], void, void> {
  const { signal } = options
  if (signal.aborted) return
  const readers = createReaderSource(options.redis, `${options.redis.options.connectionName ?? 'baton'}-read`)
  const unblock = createUnblock()
  signal.addEventListener('abort', unblock.now, { once: true })
  let isChanged = false
  const onChange = () => {
    isChanged = true
    unblock.end()
  }
  options.changes?.addEventListener('change', onChange)
  let known = new Set<string>()
  let last: readonly string[] | undefined
  try {
    while (!signal.aborted) {
      isChanged = false
      const streams = typeof options.streams === 'function' ? options.streams() : options.streams
      try {
        if (streams !== last && streams.some((stream) => !known.has(stream))) {
          await ensureGroups(options.redis, streams, options.group)
          known = new Set(streams)
        }
        last = streams
        if (isChanged || signal.aborted) continue
        const entries = await readOnce(options, readers, streams, unblock)
        if (entries.length > 0) {
          yield entries
          await afterWrites()
        }
      } catch (error) {
        known = new Set()
        last = undefined
        readers.failed()
        await recover(options, error, streams)
      }
    }
  } finally {
    signal.removeEventListener('abort', unblock.now)
    options.changes?.removeEventListener('change', onChange)
    readers.close()
  }
}

async function readOnce<T>(
  options: ReadGroupOptions<T>,
  readers: ReaderSource,
  streams: readonly string[],
  unblock: Unblock,
): Promise<StreamEntry<T>[]> {
  const { blockMs: mostMs = 5_000 } = options
  if (streams.length === 0) {
    await pause(mostMs, options.signal, options.changes)
    return []
  }
  const count = Math.max(1, Math.floor(typeof options.count === 'function' ? options.count() : options.count))
  const reader = readers.open(streams)
  unblock.follow(reader, streams[0]!)
  const blockMs = options.changes && !unblock.canEnd() ? Math.min(BLIND_BLOCK_MS, mostMs) : mostMs
  const watchdog = setTimeout(() => reader.reading.disconnect(true), blockMs + GRACE_MS)
  const ids = streams.map(() => '>')
  const { group, consumer } = options
  const args = ['GROUP', group, consumer, 'COUNT', count, 'BLOCK', blockMs, 'STREAMS', ...streams, ...ids] as const
  let reply: RawReply
  try {
    reply = await new Promise<RawReply>((resolve, reject) => {
      // A connection that is closed while it reconnects may never settle the commands it kept for later.
      unblock.abandon = reject
      const reading = reader.reading.xreadgroup(...(args as unknown as Parameters<Redis['xreadgroup']>)) as Promise<RawReply>
      reading.then(resolve, reject)
    })
  } finally {
    unblock.abandon = undefined
    clearTimeout(watchdog)
  }
  if (reply === null) return []
  if (reply.length === 1) return parseEntries(options, reply[0]![0], reply[0]![1])
  const parsed = await Promise.all(reply.map(([stream, raw]) => parseEntries(options, stream, raw)))
  return parsed.flat()
}

/**
 * Resolves when what the entries have led to so far is on its way: clients write at the end of the event loop's turn. Asking for more is a long
 * command, and on an idle stack it would stand in front of the very write that somebody waits for.
 */
async function afterWrites(): Promise<void> {
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}

async function recover<T>(options: ReadGroupOptions<T>, error: unknown, streams: readonly string[]): Promise<void> {
  if (options.signal.aborted) return
  if (isGroupLost(error)) {
    try {
      await healGroups(options, streams)
      await options.onLost?.()
      return
    } catch (again) {
      error = again
    }
  }
  options.log.warn({ err: error, group: options.group }, 'reading failed, trying again')
  await pause(200, options.signal)
}

interface Unblock {
  /** Rejects the read under way; undefined while there is none. */
  abandon: ((error: Error) => void) | undefined
  /** From now on reads are on this connection, the next of this stream and others. */
  follow(reader: Reader, stream: string): void
  /** Ends the read under way, or gives it up. */
  now(): void
  /** A read that begins now can be ended. */
  canEnd(): boolean
  /** Ends the read under way as if its time were over. */
  end(): void
}

/**
 * Ends a blocking read from the outside: CLIENT UNBLOCK loses nothing, while closing the socket could lose what was just delivered. It goes together
 * with a write that changes nothing, because a Redis 7.0 dies of it while CLIENT PAUSE holds writes back, and a pause holds back both so.
 */
function createUnblock(): Unblock {
  let current: Reader | undefined
  let readStream = ''
  let clientId: number | undefined
  const close = () => unblock.abandon?.(new Error('the read was given up'))
  /** True when there was a read to end. */
  const endRead = async () => {
    const replies = await current!.commands.multi().persist(readStream).client('UNBLOCK', clientId!).exec()
    const [error, ended] = replies![1]!
    if (error) throw error
    return ended === 1
  }
  const unblock: Unblock = {
    abandon: undefined,
    follow(reader, stream) {
      readStream = stream
      if (reader === current) return
      current = reader
      clientId = undefined
      reader.reading.on('ready', () => {
        if (reader !== current) return
        clientId = undefined
        reader.reading.client('ID').then(
          (id) => {
            if (reader === current) clientId = id
          },
          () => {},
        )
      })
    },
    now() {
      if (!unblock.abandon) return
      if (!unblock.canEnd()) return close()
      endRead().catch(close)
      // A Redis that hangs answers neither.
      setTimeout(close, UNBLOCK_MS).unref()
    },
    canEnd: () => clientId !== undefined && current?.reading.status === 'ready' && current.commands.status === 'ready',
    end() {
      const read = unblock.abandon
      const isOver = () => unblock.abandon !== read
      const attempt = async (): Promise<void> => {
        if (isOver() || (unblock.canEnd() && (await endRead().catch(() => false)))) return
        setTimeout(attempt, UNBLOCK_AGAIN_MS).unref()
      }
      if (read) void attempt()
    },
  }
  return unblock
}

/** Waits so long, or until `signal` is aborted, or `changes` tell of one. */
async function pause(ms: number, signal: AbortSignal, changes?: EventTarget): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => {
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      changes?.removeEventListener('change', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end)
    changes?.addEventListener('change', end)
  })
}
