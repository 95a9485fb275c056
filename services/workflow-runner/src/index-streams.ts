/**
 * Which calls stand in some streams. Streams may hold a hundred thousand entries while they are asked for again and again, so what was read is
 * remembered: only new entries are read, and of the old ones only those that a consumer may have taken away are looked at again.
 */
import { ENTRY_FIELD } from '@baton/contracts'
import type { Redis } from '@baton/runtime'

const PAGE = 1_000
const IDS_MAX = 1_000_000
/** Forgotten when nobody has asked for this long. */
const IDLE_MS = 60_000

interface Lane {
  stream: string
  /** Read up to this entry. */
  after: string
  /** Entries before this one are gone. */
  first: string
  /** Entries after this one were not handed to anybody yet, so they are there. */
  delivered: string
  entries: { id: string; calls: string[] }[]
}

interface Place {
  lane: Lane
  id: string
}

export interface StreamIndex {
  /** Those of the ids that stand in one of the streams now. */
  standing(ids: Iterable<string>): Promise<Set<string>>
}

/** An index of streams that one group consumes and deletes from. `idsOf` tells which calls an item of an entry is about. */
export function indexStreams<Item>(options: {
  redis: Redis
  streams: readonly string[]
  group: string
  idOf(item: Item): string | undefined
}): StreamIndex {
  const { redis, streams, group, idOf } = options
  let lanes = streams.map(createLane)
  const places = new Map<string, Place[]>()
  let turn: Promise<unknown> = Promise.resolve()
  let idle: NodeJS.Timeout | undefined

  function forget(): void {
    lanes = streams.map(createLane)
    places.clear()
  }

  function drop(lane: Lane, count: number): void {
    for (const { id, calls } of lane.entries.splice(0, count)) {
      for (const call of calls) dropPlace(call, lane, id)
    }
  }

  function dropPlace(call: string, lane: Lane, id: string): void {
    const left = places.get(call)?.filter((place) => place.lane !== lane || place.id !== id) ?? []
    if (left.length > 0) places.set(call, left)
    else places.delete(call)
  }

  async function refresh(): Promise<void> {
    if (places.size > IDS_MAX) forget()
    const found = await describe(redis, streams, group)
    for (const [i, lane] of lanes.entries()) {
      const info = found[i]
      // Emptied, or made again by a clock that went back: what is known of it is worth nothing.
      if (!info || isBefore(info.last, lane.after)) {
        drop(lane, lane.entries.length)
        lane.after = '0-0'
      }
      if (!info) continue
      lane.delivered = info.delivered
      lane.first = info.first
      const gone = lane.entries.findIndex(({ id }) => !isBefore(id, lane.first))
      drop(lane, gone < 0 ? lane.entries.length : gone)
      await readOn(lane)
    }
  }

  async function readOn(lane: Lane): Promise<void> {
    for (;;) {
      const entries = await redis.xrange(lane.stream, `(${lane.after}`, '+', 'COUNT', PAGE)
      for (const [id, fields] of entries) {
        lane.after = id
        const items = JSON.parse(fields[fields.indexOf(ENTRY_FIELD) + 1] ?? '[]') as Item[]
        const calls = items.map(idOf).filter((call) => call !== undefined)
        lane.entries.push({ id, calls })
        for (const call of calls) places.set(call, [...(places.get(call) ?? []), { lane, id }])
      }
      if (entries.length < PAGE) return
    }
  }

  async function look(ids: Iterable<string>): Promise<Set<string>> {
    await refresh()
    const standing = new Set<string>()
    const doubtful: (Place & { call: string })[] = []
    for (const call of ids) {
      const known = places.get(call) ?? []
      if (known.some(({ lane, id }) => isBefore(lane.delivered, id))) standing.add(call)
      else for (const place of known) doubtful.push({ ...place, call })
    }
    const pipeline = redis.pipeline()
    for (const { lane, id } of doubtful) pipeline.xrange(lane.stream, id, id)
    const replies = doubtful.length > 0 ? await pipeline.exec() : []
    for (const [i, { call }] of doubtful.entries()) {
      const [error, entries] = replies?.[i] ?? [new Error('no reply')]
      if (error) throw error
      if ((entries as unknown[]).length > 0) standing.add(call)
    }
    return standing
  }

  return {
    standing(ids) {
      // One at a time: each has to see what was there when it was asked.
      const answer = turn.then(() => look(ids))
      turn = answer.catch(forget)
      clearTimeout(idle)
      idle = setTimeout(forget, IDLE_MS).unref()
      return answer
    },
  }
}

function createLane(stream: string): Lane {
  return { stream, after: '0-0', first: '0-0', delivered: '0-0', entries: [] }
}

interface StreamInfo {
  first: string
  last: string
  delivered: string
}

/** What Redis says of each stream; undefined for one that is not there, or has no entries. */
async function describe(redis: Redis, streams: readonly string[], group: string): Promise<(StreamInfo | undefined)[]> {
  const pipeline = redis.pipeline()
  for (const stream of streams) pipeline.xinfo('STREAM', stream).xinfo('GROUPS', stream)
  const replies = (await pipeline.exec()) ?? []
  return streams.map((_, i) => {
    const [error, about] = replies[2 * i]!
    const [, groups] = replies[2 * i + 1]!
    if (error) {
      if (/no such key/i.test(error.message)) return undefined
      throw error
    }
    const stream = fieldsOf(about)
    const first = (stream['first-entry'] as [string] | null)?.[0]
    if (first === undefined) return undefined
    const ours = ((groups ?? []) as unknown[]).map(fieldsOf).find(({ name }) => name === group)
    // Without the group nothing was handed out; without knowing, everything is looked at.
    return { first, last: stream['last-generated-id'] as string, delivered: (ours?.['last-delivered-id'] as string) ?? '0-0' }
  })
}

function fieldsOf(reply: unknown): Record<string, unknown> {
  const flat = reply as unknown[]
  return Object.fromEntries(Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i] as string, flat[2 * i + 1]]))
}

/** True when the entry id `a` is lower than `b`. */
function isBefore(a: string, b: string): boolean {
  const [aMs, aSeq] = partsOf(a)
  const [bMs, bSeq] = partsOf(b)
  return aMs === bMs ? aSeq < bSeq : aMs < bMs
}

function partsOf(id: string): [ms: number, seq: number] {
  const dash = id.indexOf('-')
  return [Number(id.slice(0, dash)), Number(id.slice(dash + 1))]
}
