/** Redis streams and consumer groups in memory: what Baton uses of them, with the answers and errors of Redis. */
export interface StreamEntry {
  id: string
  ms: number
  n: number
  fields: string[]
}

interface Pending {
  consumer: string
  at: number
  deliveries: number
}

interface Group {
  lastMs: number
  lastN: number
  pending: Map<string, Pending>
}

interface Stream {
  entries: StreamEntry[]
  lastMs: number
  lastN: number
  groups: Map<string, Group>
}

/** Told of what enters and leaves streams. */
export interface StreamWatcher {
  added?(stream: string, entry: StreamEntry): void
  /** `holder` is the consumer that had it. */
  acknowledged?(stream: string, entry: StreamEntry, holder: string): void
  /** By XDEL or by a trim; `open`: a group has not acknowledged it, `holder` is who has it there. */
  deleted?(stream: string, entry: StreamEntry, open: boolean, holder: string | undefined): void
}

export type Streams = ReturnType<typeof createStreams>

const noGroup = (stream: string, group: string) => new Error(`NOGROUP No such key '${stream}' or consumer group '${group}'`)

/** Streams that tell the time by `now` (ms since 1970). */
export function createStreams(now: () => number, watcher: StreamWatcher) {
  const streams = new Map<string, Stream>()

  function make(name: string): Stream {
    let stream = streams.get(name)
    if (!stream) {
      stream = { entries: [], lastMs: 0, lastN: 0, groups: new Map() }
      streams.set(name, stream)
    }
    return stream
  }

  function groupOf(name: string, group: string): Group {
    const found = streams.get(name)?.groups.get(group)
    if (!found) throw noGroup(name, group)
    return found
  }

  const find = (name: string, id: string) => streams.get(name)?.entries.find((entry) => entry.id === id)
  /** Who has the entry and has not acknowledged it; null when it waits for a first reader, undefined when nobody needs it. */
  function holderOf(stream: Stream, { id, ms, n }: StreamEntry): string | null | undefined {
    for (const { pending, lastMs, lastN } of stream.groups.values()) {
      if (ms > lastMs || (ms === lastMs && n > lastN)) return null
      if (pending.has(id)) return pending.get(id)!.consumer
    }
    return undefined
  }

  function remove(name: string, keep: (entry: StreamEntry) => boolean): number {
    const stream = streams.get(name)
    if (!stream) return 0
    const gone = stream.entries.filter((entry) => !keep(entry))
    if (gone.length === 0) return 0
    stream.entries = stream.entries.filter(keep)
    for (const entry of gone) {
      const holder = holderOf(stream, entry)
      watcher.deleted?.(name, entry, holder !== undefined, holder ?? undefined)
    }
    return gone.length
  }

  return {
    all: streams,
    add(name: string, fields: string[]): string {
      const stream = make(name)
      const ms = Math.max(now(), stream.lastMs)
      const n = ms === stream.lastMs ? stream.lastN + 1 : 0
      stream.lastMs = ms
      stream.lastN = n
      const entry = { id: `${ms}-${n}`, ms, n, fields }
      stream.entries.push(entry)
      watcher.added?.(name, entry)
      return entry.id
    },
    range(name: string, first: string, last: string, count: number): StreamEntry[] {
      const [fromMs, fromN] = first === '-' ? [0, 0] : partsOf(first.replace('(', ''), 0)
      const [toMs, toN] = last === '+' ? [Number.POSITIVE_INFINITY, 0] : partsOf(last, Number.POSITIVE_INFINITY)
      const isFrom = (e: StreamEntry) => e.ms > fromMs || (e.ms === fromMs && (first.startsWith('(') ? e.n > fromN : e.n >= fromN))
      const isTo = (e: StreamEntry) => e.ms < toMs || (e.ms === toMs && e.n <= toN)
      return (streams.get(name)?.entries ?? []).filter((entry) => isFrom(entry) && isTo(entry)).slice(0, count)
    },
    createGroup(name: string, group: string, at: string): string {
      const stream = make(name)
      if (stream.groups.has(group)) throw new Error('BUSYGROUP Consumer Group name already exists')
      const [lastMs, lastN] = at === '$' ? [stream.lastMs, stream.lastN] : [0, -1]
      stream.groups.set(group, { lastMs, lastN, pending: new Map() })
      return 'OK'
    },
    /** New entries of the stream for the consumer; or, from an id, those it has not acknowledged. */
    readGroup(name: string, group: string, consumer: string, from: string, count: number): [string, string[] | null][] {
      const held = groupOf(name, group)
      if (from !== '>') {
        const own = [...held.pending].filter(([, pending]) => pending.consumer === consumer).slice(0, count)
        for (const [id, pending] of own) {
          if (find(name, id)) Object.assign(pending, { at: now(), deliveries: pending.deliveries + 1 })
        }
        return own.map(([id]) => [id, find(name, id)?.fields ?? null])
      }
      const isNew = (e: StreamEntry) => e.ms > held.lastMs || (e.ms === held.lastMs && e.n > held.lastN)
      const fresh = streams.get(name)!.entries.filter(isNew).slice(0, count)
      for (const { id, ms, n } of fresh) {
        held.pending.set(id, { consumer, at: now(), deliveries: 1 })
        held.lastMs = ms
        held.lastN = n
      }
      return fresh.map(({ id, fields }) => [id, fields])
    },
    acknowledge(name: string, group: string, ids: readonly string[]): number {
      const stream = streams.get(name)
      const held = stream?.groups.get(group)
      if (!stream || !held) return 0
      let count = 0
      for (const id of ids) {
        const pending = held.pending.get(id)
        if (!pending) continue
        held.pending.delete(id)
        count++
        const entry = find(name, id)
        if (entry) watcher.acknowledged?.(name, entry, pending.consumer)
      }
      return count
    },
    delete: (name: string, ids: readonly string[]) => remove(name, (entry) => !ids.includes(entry.id)),
    trimBelow(name: string, id: string): number {
      const [ms, n] = partsOf(id, 0)
      return remove(name, (entry) => entry.ms > ms || (entry.ms === ms && entry.n >= n))
    },
    /** Rows of XPENDING: id, consumer, idle ms, deliveries. */
    pending(
      name: string,
      group: string,
      minIdleMs: number,
      first: string,
      last: string,
      count: number,
    ): [string, string, number, number][] {
      const rows: [string, string, number, number][] = []
      for (const [id, { consumer, at, deliveries }] of groupOf(name, group).pending) {
        if (rows.length === count) break
        const isIn = (first === '-' || isNotBefore(id, first)) && (last === '+' || isNotBefore(last, id))
        if (isIn && now() - at >= minIdleMs) rows.push([id, consumer, now() - at, deliveries])
      }
      return rows
    },
    /** XINFO STREAM, as far as it is asked for. */
    describe(name: string): unknown[] {
      const stream = streams.get(name)
      if (!stream) throw new Error('ERR no such key')
      const [first] = stream.entries
      return ['last-generated-id', `${stream.lastMs}-${stream.lastN}`, 'first-entry', first ? [first.id, first.fields] : null]
    },
    /** XINFO GROUPS, as far as it is asked for. */
    describeGroups(name: string): unknown[][] {
      const stream = streams.get(name)
      if (!stream) throw new Error('ERR no such key')
      return [...stream.groups].map(([group, { lastMs, lastN }]) => {
        return ['name', group, 'last-delivered-id', `${lastMs}-${Math.max(0, lastN)}`]
      })
    },
    claim(name: string, group: string, consumer: string, minIdleMs: number, ids: readonly string[], justId: boolean): StreamEntry[] {
      const held = groupOf(name, group)
      return ids.flatMap((id) => {
        const pending = held.pending.get(id)
        if (!pending || now() - pending.at < minIdleMs) return []
        const entry = find(name, id)
        if (!entry) {
          held.pending.delete(id)
          return []
        }
        held.pending.set(id, { consumer, at: now(), deliveries: pending.deliveries + (justId ? 0 : 1) })
        return [entry]
      })
    },
  }
}

function partsOf(id: string, n = 0): [ms: number, n: number] {
  const dash = id.indexOf('-')
  return dash < 0 ? [Number(id), n] : [Number(id.slice(0, dash)), Number(id.slice(dash + 1))]
}

function isNotBefore(id: string, other: string): boolean {
  const [ms, n] = partsOf(id)
  const [otherMs, otherN] = partsOf(other)
  return ms > otherMs || (ms === otherMs && n >= otherN)
}
