/**
 * The events of one run, put in order for everybody who follows it on this replica.
 *
 * Invariants: `head` is the seq up to which live followers have been sent everything, each event once; a follower is live exactly when its
 * own `sent` equals `head`, otherwise it reads the past from Postgres at its own pace until it does. Live events are published after their
 * commit, so Postgres always has what was seen live: whatever came early, doubled or never is dropped or read there.
 */
import { idOf, type StoredEvent } from '@baton/contracts'
import { createBroadcast, type Subscriber } from './broadcast.ts'
import { createDelivery, type Delivery, encodeEvent } from './encode-events.ts'
import type { History } from './history.ts'

/** Whoever follows a run: live events by `deliver`, the past by `replay`. */
export interface RunSubscriber extends Subscriber {
  /** Sends a page of the past; resolves when the client has room for the next one. */
  replay(delivery: Delivery): Promise<void>
  /** Everything there is was sent; from here on events are live. */
  caughtUp(): void
  /** The events it stands at were dropped by retention: it gets no more. */
  gone(): void
}

/** The ordered events of one run. */
export interface RunFeed {
  /** The highest seq that is known of, by Postgres or the live stream; 0 before either spoke. */
  readonly known: number
  /** True while nobody follows it and nobody is about to. */
  readonly idle: boolean
  /** Keeps the feed listening while its caller asks Postgres; the answer lets go. */
  hold(): () => void
  /** Postgres says that the run has events up to this seq. What is missing is fetched. */
  learn(lastSeq: number): void
  /** Events from the live stream: in any order, doubled, or with holes. */
  accept(events: readonly StoredEvent[]): void
  /** Sends every event with seq > after, then live ones, until the answer is called. `after` must not be beyond `known`. */
  follow(subscriber: RunSubscriber, after: number): () => void
  /** The run is no more: tells all followers. */
  drop(): void
}

export interface RunFeedOptions {
  history: History
  /** How long events are gathered for batch subscribers. */
  lingerMs: number
  /** A failed read; it is tried again. */
  onReadFailed(err: unknown): void
  /** Events that the live stream did not bring. */
  onFetched(count: number): void
  /** How long a reading that failed is waited over; 1 000. */
  retryMs?: number
}

interface Follower {
  subscriber: RunSubscriber
  sent: number
  live: boolean
  stopped: boolean
}

/** Two runners may publish out of order: this long a hole may close by itself before Postgres is asked. */
const HOLE_DELAY_MS = 20
/** Over this many missing events live followers read the past at their own pace instead of getting it pushed. */
const PUSH_MAX = 200
/** Early events kept in memory; beyond, Postgres is read instead. */
const EARLY_MAX = 1_000
const PAGE_FIRST = 50
const PAGE_MAX = 500
/** Pages of the past are sized towards this many bytes. */
const PAGE_BYTES = 128 * 1024

/** Makes the feed of a run (bare UUID). */
export function createRunFeed(runId: string, options: RunFeedOptions): RunFeed {
  const { history, retryMs = 1_000 } = options
  const topic = `run:${idOf('run', runId)}`
  const broadcast = createBroadcast(topic, options.lingerMs)
  const followers = new Set<Follower>()
  const early = new Map<number, StoredEvent>()
  let head: number | undefined
  let known = 0
  let holds = 0
  let filling: Promise<void> | undefined
  let holeTimer: NodeJS.Timeout | undefined

  function emit(events: readonly StoredEvent[]): void {
    const last = events.at(-1)
    if (last === undefined) return
    head = last.seq
    if (broadcast.size > 0) broadcast.publish(events.map(encodeEvent))
  }

  /** Emits what came early and is next now. */
  function advance(): void {
    const next: StoredEvent[] = []
    for (let seq = head! + 1; early.has(seq); seq++) {
      next.push(early.get(seq)!)
      early.delete(seq)
    }
    emit(next)
  }

  /** Lets everybody read the past by themselves up to what is known. */
  function jump(): void {
    broadcast.flush()
    const behind = [...followers].filter((follower) => follower.live)
    for (const follower of behind) {
      follower.live = false
      follower.sent = head!
      broadcast.remove(follower.subscriber)
    }
    head = known
    for (const seq of early.keys()) if (seq <= known) early.delete(seq)
    for (const follower of behind) void catchUp(follower)
  }

  async function readMissing(): Promise<void> {
    while (head! < known) {
      if (broadcast.size === 0 || known - head! > PUSH_MAX) return jump()
      const rows = await history.listEvents(runId, head!, PUSH_MAX)
      const missing = rows.filter((event) => event.seq > head!)
      if (missing.length === 0) {
        if (head! < known) return
      } else if (missing[0]!.seq !== head! + 1) {
        return drop()
      } else {
        for (const event of missing) early.delete(event.seq)
        options.onFetched(missing.length)
        emit(missing)
        advance()
      }
    }
  }

  /** Reads from Postgres what is known to exist and was not seen; one reading at a time. */
  function fill(): Promise<void> {
    filling ??= readMissing()
      .catch(options.onReadFailed)
      .finally(() => {
        filling = undefined
      })
    return filling
  }

  function fillSoon(): void {
    holeTimer ??= setTimeout(() => {
      holeTimer = undefined
      if (head !== undefined && head < known) void fill()
    }, HOLE_DELAY_MS)
  }

  async function catchUp(follower: Follower): Promise<void> {
    let limit = PAGE_FIRST
    while (!follower.stopped) {
      if (follower.sent === head) return goLive(follower)
      try {
        if (follower.sent > head!) {
          await fill()
          if (follower.sent > head!) await pause(retryMs)
          continue
        }
        const events = await history.listEvents(runId, follower.sent, limit)
        if (follower.stopped) return
        if (events.length === 0) await pause(retryMs)
        else if (events[0]!.seq !== follower.sent + 1) return leave(follower)
        else limit = await replayPage(follower, events)
      } catch (err) {
        options.onReadFailed(err)
        await pause(retryMs)
      }
    }
  }

  /** Sends one page; answers how long the next one should be. */
  async function replayPage(follower: Follower, events: readonly StoredEvent[]): Promise<number> {
    const encoded = events.map(encodeEvent)
    const bytes = encoded.reduce((sum, event) => sum + event.bytes, 0)
    follower.sent = events.at(-1)!.seq
    await follower.subscriber.replay(createDelivery(topic, encoded))
    return Math.max(1, Math.min(PAGE_MAX, Math.floor((PAGE_BYTES * events.length) / bytes)))
  }

  function goLive(follower: Follower): void {
    follower.live = true
    broadcast.add(follower.subscriber)
    follower.subscriber.caughtUp()
  }

  function stop(follower: Follower): void {
    follower.stopped = true
    followers.delete(follower)
    if (follower.live) broadcast.remove(follower.subscriber)
    if (followers.size === 0) clearTimeout(holeTimer)
    if (followers.size === 0) holeTimer = undefined
  }

  function leave(follower: Follower): void {
    stop(follower)
    follower.subscriber.gone()
  }

  function drop(): void {
    for (const follower of [...followers]) leave(follower)
  }

  return {
    get known() {
      return known
    },
    get idle() {
      return followers.size === 0 && holds === 0
    },
    hold() {
      holds++
      let held = true
      return () => {
        if (held) holds--
        held = false
      }
    },
    learn(lastSeq) {
      known = Math.max(known, lastSeq)
      if (head === undefined) {
        head = lastSeq
        for (const seq of early.keys()) if (seq <= head) early.delete(seq)
        advance()
      }
      if (head < known) fillSoon()
    },
    accept(events) {
      for (const event of events) {
        known = Math.max(known, event.seq)
        if ((head === undefined || event.seq > head) && early.size < EARLY_MAX) early.set(event.seq, event)
      }
      if (head === undefined) return
      advance()
      if (head < known) fillSoon()
    },
    follow(subscriber, after) {
      const follower: Follower = { subscriber, sent: after, live: false, stopped: false }
      followers.add(follower)
      void catchUp(follower)
      return () => stop(follower)
    },
    drop,
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
