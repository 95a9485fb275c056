/** The subscriptions of one WebSocket client, and the rules by which they are given or refused (CONTRACT §5). */
import type { ClientFrame, FrameErrorCode } from '@baton/contracts'
import type { Principal } from './authenticate.ts'
import type { Subscriber } from './broadcast.ts'
import type { Delivery } from './encode-events.ts'
import type { Hub, OpenedRun } from './hub.ts'
import type { Outbox } from './outbox.ts'
import type { RunSubscriber } from './run-feed.ts'
import { parseTopic, type Topic } from './topics.ts'

type Subscribe = Extract<ClientFrame, { type: 'subscribe' }>

/** A client's subscriptions; one a topic. */
export interface Subscriptions {
  subscribe(who: Principal, frame: Subscribe): Promise<void>
  unsubscribe(topic: string): void
  stopAll(): void
}

export interface SubscriptionsOptions {
  hub: Hub
  outbox: Outbox
  max: number
  liveReady(): Promise<void>
  answer(frame: object): void
  refuse(code: FrameErrorCode, message: string, topic?: string): void
  onDelivered(count: number): void
  onSubscriptions(change: number): void
  onFailed(err: unknown): void
}

/** Live topics that a worker agent may follow; runs and approvals are not its business. */
const WORKER_TOPICS = /^(tasks$|agents$|agent:)/

/** Makes the subscriptions of a client. */
export function createSubscriptions(options: SubscriptionsOptions): Subscriptions {
  const { hub, outbox, answer, refuse } = options
  const stops = new Map<string, () => void>()
  let closed = false

  function remove(topic: string): void {
    const stop = stops.get(topic)
    if (stop === undefined) return
    stops.delete(topic)
    stop()
    options.onSubscriptions(-1)
  }

  function put(topic: string, stop: () => void): void {
    stops.set(topic, stop)
    options.onSubscriptions(1)
  }

  function deliver(delivery: Delivery, batch: boolean): void {
    options.onDelivered(delivery.events.length)
    if (batch && delivery.events.length > 1) outbox.send(delivery.batchFrame())
    else for (const frame of delivery.frames()) outbox.send(frame)
  }

  function liveSubscriber(batch: boolean): Subscriber {
    return { batch, deliver: (delivery) => deliver(delivery, batch) }
  }

  function runSubscriber(topic: string, batch: boolean): RunSubscriber {
    return {
      ...liveSubscriber(batch),
      replay(delivery) {
        options.onDelivered(delivery.events.length)
        return outbox.sendPast(batch && delivery.events.length > 1 ? [delivery.batchFrame()] : delivery.frames())
      },
      caughtUp() {},
      gone() {
        if (closed || !stops.has(topic)) return
        remove(topic)
        refuse('gone', 'the events were dropped by retention', topic)
      },
    }
  }

  function follow(frame: Subscribe, run: OpenedRun): void {
    const { topic, after = run.lastSeq, batch = false } = frame
    if (after > run.lastSeq) return refuse('bad_after', `the last seq of the run is ${run.lastSeq}`, topic)
    remove(topic)
    answer({ type: 'subscribed', topic, seq: run.lastSeq })
    put(topic, run.follow(runSubscriber(topic, batch), after))
  }

  async function subscribeRun(who: Principal, frame: Subscribe, runId: string | undefined): Promise<void> {
    const run = runId === undefined ? undefined : await hub.openRun(who.namespace, runId)
    if (run === undefined) return refuse('not_found', 'no such run in this namespace', frame.topic)
    if (!closed) follow(frame, run)
    run.release()
  }

  async function subscribeLive(who: Principal, frame: Subscribe, topic: Topic): Promise<void> {
    if (frame.after !== undefined) return refuse('unsupported', 'live topics have no past: leave `after` out', frame.topic)
    if (topic.kind === 'agent') {
      const run = topic.runId === undefined ? undefined : await hub.openRun(who.namespace, topic.runId)
      run?.release()
      if (run === undefined) return refuse('not_found', 'no such run in this namespace', frame.topic)
    }
    await options.liveReady()
    if (closed) return
    remove(topic.name)
    answer({ type: 'subscribed', topic: topic.name })
    put(topic.name, hub.subscribeLive(who.namespace, topic.name, liveSubscriber(frame.batch ?? false)))
  }

  return {
    async subscribe(who, frame) {
      const topic = parseTopic(frame.topic)
      if (topic === undefined) return refuse('unknown_topic', 'no such topic', frame.topic)
      if (who.role === 'worker' && !WORKER_TOPICS.test(topic.name)) {
        return refuse('forbidden', `role ${who.role} may not follow this topic`, frame.topic)
      }
      if (stops.size >= options.max && !stops.has(topic.name)) {
        return refuse('forbidden', `a client may have ${options.max} subscriptions (FANOUT_SUBSCRIPTIONS_MAX)`, frame.topic)
      }
      try {
        if (topic.kind === 'run') await subscribeRun(who, frame, topic.runId)
        else await subscribeLive(who, frame, topic)
      } catch (err) {
        options.onFailed(err)
        refuse('unavailable', 'the past cannot be read now; subscribe again in a moment', frame.topic)
      }
    },
    unsubscribe(topic) {
      if (parseTopic(topic) === undefined) return refuse('unknown_topic', 'no such topic', topic)
      remove(topic)
      answer({ type: 'unsubscribed', topic })
    },
    stopAll() {
      closed = true
      for (const topic of [...stops.keys()]) remove(topic)
    },
  }
}
