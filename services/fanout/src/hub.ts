/** Where live events meet their topics: exact feeds of runs, and the at-most-once topics of a namespace. */
import type { LiveEvent } from '@baton/contracts'
import { type Broadcast, createBroadcast, type Subscriber } from './broadcast.ts'
import { encodeEvent } from './encode-events.ts'
import type { History } from './history.ts'
import { createRunFeed, type RunFeed, type RunFeedOptions, type RunSubscriber } from './run-feed.ts'
import { createSeenEvents } from './seen-events.ts'
import { liveTopicsOf } from './topics.ts'

/** A run that somebody is about to follow. `release` it when done with it, followed or not. */
export interface OpenedRun {
  /** The highest seq known at this moment. */
  readonly lastSeq: number
  readonly ended: boolean
  /** Every event with seq > after, then live ones, until the answer is called. */
  follow(subscriber: RunSubscriber, after: number): () => void
  release(): void
}

/** All topics of this replica. */
export interface Hub {
  /** Events as the live stream brought them. */
  dispatch(events: readonly LiveEvent[]): void
  /** Listens to the run, then asks Postgres about it; undefined = the namespace has no such run. Throws when Postgres is away. */
  openRun(namespace: string, runId: string): Promise<OpenedRun | undefined>
  /** Live events of a topic from now on, at most once each, until the answer is called. */
  subscribeLive(namespace: string, topic: string, subscriber: Subscriber): () => void
  /** Compares all followed runs with Postgres in one query and has what is missing fetched. */
  compare(): Promise<void>
  /** Runs that are followed now. */
  readonly runs: number
}

/** Makes the hub. */
export function createHub(options: RunFeedOptions & { history: History }): Hub {
  const feeds = new Map<string, RunFeed>()
  const liveTopics = new Map<string, Broadcast>()
  const seen = createSeenEvents()

  function feedOf(runId: string): RunFeed {
    let feed = feeds.get(runId)
    if (feed === undefined) {
      feed = createRunFeed(runId, options)
      feeds.set(runId, feed)
    }
    return feed
  }

  function forgetIdle(runId: string, feed: RunFeed): void {
    if (feed.idle && feeds.get(runId) === feed) feeds.delete(runId)
  }

  function dispatchToRuns(events: readonly LiveEvent[]): void {
    const byRun = new Map<string, LiveEvent[]>()
    for (const event of events) {
      if (!feeds.has(event.runId)) continue
      const list = byRun.get(event.runId)
      if (list === undefined) byRun.set(event.runId, [event])
      else list.push(event)
    }
    for (const [runId, list] of byRun) feeds.get(runId)?.accept(list)
  }

  function dispatchToTopics(events: readonly LiveEvent[]): void {
    for (const event of events) {
      if (seen.before(event)) continue
      let encoded: ReturnType<typeof encodeEvent> | undefined
      for (const topic of liveTopicsOf(event)) {
        const broadcast = liveTopics.get(`${event.namespace} ${topic}`)
        if (broadcast === undefined) continue
        encoded ??= encodeEvent(event)
        broadcast.publish([encoded])
      }
    }
  }

  return {
    dispatch(events) {
      if (feeds.size > 0) dispatchToRuns(events)
      if (liveTopics.size > 0) dispatchToTopics(events)
    },
    async openRun(namespace, runId) {
      const feed = feedOf(runId)
      const letGo = feed.hold()
      const release = () => {
        letGo()
        forgetIdle(runId, feed)
      }
      try {
        const run = await options.history.findRun(namespace, runId)
        if (run === undefined) {
          release()
          return undefined
        }
        feed.learn(run.lastSeq)
        return {
          lastSeq: feed.known,
          ended: run.ended,
          follow(subscriber, after) {
            const stop = feed.follow(subscriber, after)
            return () => {
              stop()
              forgetIdle(runId, feed)
            }
          },
          release,
        }
      } catch (err) {
        release()
        throw err
      }
    },
    subscribeLive(namespace, topic, subscriber) {
      const key = `${namespace} ${topic}`
      const broadcast = liveTopics.get(key) ?? createBroadcast(topic, options.lingerMs)
      liveTopics.set(key, broadcast)
      broadcast.add(subscriber)
      return () => {
        broadcast.remove(subscriber)
        if (broadcast.size === 0 && liveTopics.get(key) === broadcast) liveTopics.delete(key)
      }
    },
    async compare() {
      if (feeds.size === 0) return
      const asked = [...feeds]
      const lastSeqs = await options.history.lastSeqs(asked.map(([runId]) => runId))
      for (const [runId, feed] of asked) {
        const lastSeq = lastSeqs.get(runId)
        if (lastSeq !== undefined) feed.learn(lastSeq)
        else feed.drop()
        forgetIdle(runId, feed)
      }
    },
    get runs() {
      return feeds.size
    },
  }
}
