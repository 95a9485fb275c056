/**
 * What this worker has in hand: entries of the stream, and the calls in them. An entry is acknowledged when all of its calls are answered;
 * the acknowledgement rides with the next facts.
 */
import { GROUPS, type HttpCall, keys } from '@baton/contracts'
import { ackEntries, type Redis, type StreamEntry } from '@baton/runtime'

export interface HeldEntry {
  stream: string
  id: string
  /** Calls that are not answered yet. */
  open: number
  /** When it was read, ms since 1970. */
  since: number
  calls: HeldCall[]
  /** This worker stood still while it held it: it may be another's by now, or even be done. */
  doubtful: boolean
  /** Another worker has taken it over: it is theirs to acknowledge. */
  lost: boolean
}

export interface HeldCall {
  id: string
  call: HttpCall
  entry: HeldEntry
  /** It runs from the moment that it is certain to be made here. */
  state: 'waiting' | 'running' | 'ended'
  /** Ask first whether it is still wanted, and whether nobody else makes it. */
  ask: boolean
  /** Workers that held it, in this entry or in a copy, until it was taken from them for their silence. */
  from: string[]
  /** How many workers it has cost, once that was counted. */
  losses?: number
  /** Its inflight key was written, and has to go when it ends. */
  announced: boolean
  /** Its entry is another's, but our word for the call is not: we hold it by its key alone. */
  apart: boolean
}

type Pipeline = ReturnType<Redis['pipeline']>

export interface HeldCalls {
  readonly entries: ReadonlySet<HeldEntry>
  /** Takes an entry into hand, unless it is there; gives its calls that are not in hand already. */
  take(entry: StreamEntry<HttpCall[]>, options: { from: string | undefined; ask: boolean; doubtful: boolean }): HeldCall[]
  /** A call is answered, dropped or handed back. The last one of an entry makes it ready to be acknowledged. */
  end(held: HeldCall): void
  /** Adds what is ready to be acknowledged to a pipeline. */
  settle(pipeline: Pipeline): void
  /** Something is ready to be acknowledged. */
  readonly unsettled: boolean
}

/** `onReady` is told when the first entry becomes ready after a `settle`. */
export function createHeldCalls(onReady: () => void, now: () => number = Date.now): HeldCalls {
  const entries = new Set<HeldEntry>()
  const keysHeld = new Set<string>()
  const byId = new Map<string, HeldCall>()
  let acks = new Map<string, string[]>()
  let gone: string[] = []
  let unsettled = false

  const ready = () => {
    if (unsettled) return
    unsettled = true
    onReady()
  }

  const close = (entry: HeldEntry) => {
    entries.delete(entry)
    keysHeld.delete(`${entry.stream} ${entry.id}`)
    if (entry.lost) return
    const ids = acks.get(entry.stream)
    if (ids) ids.push(entry.id)
    else acks.set(entry.stream, [entry.id])
    ready()
  }

  return {
    entries,
    take({ stream, id, value }, { from, ask, doubtful }) {
      const key = `${stream} ${id}`
      if (keysHeld.has(key)) return []
      keysHeld.add(key)
      const entry: HeldEntry = { stream, id, open: 0, since: now(), calls: [], doubtful, lost: false }
      for (const call of value) {
        const callId = `${call.runId}/${call.path}/${call.generation}/${call.attempt}`
        const inHand = byId.get(callId)
        if (inHand) {
          if (from !== undefined) inHand.from.push(from)
          continue
        }
        const held: HeldCall = {
          id: callId,
          call,
          entry,
          state: 'waiting',
          from: from === undefined ? [] : [from],
          ask: ask || call.resent === true,
          announced: false,
          apart: false,
        }
        byId.set(callId, held)
        entry.calls.push(held)
        entry.open++
      }
      if (entry.open === 0) close(entry)
      else entries.add(entry)
      return entry.calls
    },
    end(held) {
      if (held.state === 'ended') return
      held.state = 'ended'
      byId.delete(held.id)
      if (held.announced && (held.apart || !held.entry.lost)) gone.push(held.id)
      if (--held.entry.open === 0) close(held.entry)
    },
    settle(pipeline) {
      if (!unsettled) return
      for (const [stream, ids] of acks) ackEntries(pipeline, stream, GROUPS.calls, ids)
      if (gone.length > 0) pipeline.del(...gone.flatMap((id) => [keys.inflight(id), keys.crashes(id)]))
      acks = new Map()
      gone = []
      unsettled = false
    },
    get unsettled() {
      return unsettled
    },
  }
}
