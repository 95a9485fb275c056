/** Events on their way out: made into text once, and the same bytes shared by every client of a topic. */
import { cloudEventOf, type TracedEvent } from '@baton/contracts'

/** An event as text. `json` is its CloudEvents object; `bytes` its length in UTF-16 units, near enough to bytes to bound batches by. */
export interface EncodedEvent {
  seq: number
  type: string
  json: string
  bytes: number
}

/** Makes an event into text; the one place where events are serialised. */
export function encodeEvent(event: TracedEvent): EncodedEvent {
  const json = JSON.stringify(cloudEventOf(event))
  return { seq: event.seq, type: `dev.baton.${event.type}`, json, bytes: json.length }
}

const RUN_ENDS = new Set(['dev.baton.run.succeeded', 'dev.baton.run.failed', 'dev.baton.run.cancelled', 'dev.baton.run.timed_out'])

/** True for the types that end a run. */
export function endsRun(type: string): boolean {
  return RUN_ENDS.has(type)
}

/** Some events of one topic, in order, that go to clients at once. Frames are made when the first client asks and kept for the others. */
export interface Delivery {
  readonly topic: string
  readonly events: readonly EncodedEvent[]
  /** WebSocket: one `event` frame each. */
  frames(): readonly Buffer[]
  /** WebSocket: all of them as one `events` frame. */
  batchFrame(): Buffer
  /** Server-Sent Events: one chunk with all of them. */
  sseChunk(): Buffer
}

/** Wraps events of a topic for sending. */
export function createDelivery(topic: string, events: readonly EncodedEvent[]): Delivery {
  const topicJson = JSON.stringify(topic)
  let frames: Buffer[] | undefined
  let batchFrame: Buffer | undefined
  let sseChunk: Buffer | undefined
  return {
    topic,
    events,
    frames() {
      frames ??= events.map((event) => Buffer.from(`{"type":"event","topic":${topicJson},"seq":${event.seq},"event":${event.json}}`))
      return frames
    },
    batchFrame() {
      batchFrame ??= Buffer.from(`{"type":"events","topic":${topicJson},"events":[${events.map((event) => event.json).join(',')}]}`)
      return batchFrame
    },
    sseChunk() {
      sseChunk ??= Buffer.from(events.map((event) => `id: ${event.seq}\nevent: ${event.type}\ndata: ${event.json}\n\n`).join(''))
      return sseChunk
    },
  }
}
