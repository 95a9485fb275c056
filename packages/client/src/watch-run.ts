/** A run's events over WebSocket: every one once and in order, over any number of reconnects. */
import type { CloudEvent, ServerFrame } from '@baton/contracts'
import { type FrameSocket, openSocket } from './open-socket.ts'
import { backoffMs, pause } from './pause.ts'
import { BatonProblem, BatonUnreachable } from './problem.ts'
import {
  GIVE_UP_MS,
  isRunEnd,
  problemOfFrame,
  RECONNECT_MS,
  RECONNECT_MS_MAX,
  type WatchConnection,
  type WatchOptions,
} from './watch-options.ts'

const BAD_TOKEN = 4401

/**
 * Gives the events with seq > `after` and then those to come, until the run has ended (or, with `follow`, until `signal` is aborted).
 * Reconnects by itself. Throws BatonProblem when the run or the key does not exist, BatonUnreachable after `giveUpMs` without a connection.
 */
export async function* watchRun(
  connection: WatchConnection,
  runId: string,
  options: WatchOptions = {},
): AsyncGenerator<CloudEvent, void, undefined> {
  const { follow = false, signal, giveUpMs = GIVE_UP_MS } = options
  let last = options.after ?? 0
  let failures = 0
  let aliveAt = Date.now()
  for (;;) {
    try {
      const socket = await openSocket(connection, signal)
      const abort = () => socket.close()
      signal?.addEventListener('abort', abort, { once: true })
      try {
        for await (const { event, lastSeq } of eventsOf(socket, runId, last)) {
          failures = 0
          last = event.seq
          yield event
          if (!follow && isRunEnd(event) && event.seq >= lastSeq) return
        }
      } finally {
        signal?.removeEventListener('abort', abort)
        socket.close()
        aliveAt = Date.now()
      }
    } catch (err) {
      signal?.throwIfAborted()
      if (err instanceof BatonProblem) throw err
      if (Date.now() - aliveAt > giveUpMs) throw new BatonUnreachable(connection.fanoutUrl, err)
    }
    signal?.throwIfAborted()
    await pause(backoffMs(failures++, RECONNECT_MS, RECONNECT_MS_MAX), signal)
  }
}

/** Subscribes on an open connection; ends when the connection does, or when it does not keep its promise. */
async function* eventsOf(
  socket: FrameSocket,
  runId: string,
  after: number,
): AsyncGenerator<{ event: CloudEvent; lastSeq: number }, void, undefined> {
  socket.send({ type: 'subscribe', topic: `run:${runId}`, after, batch: true })
  let expected = after + 1
  let lastSeq = Number.POSITIVE_INFINITY
  for (;;) {
    const frame = await socket.next()
    if (frame === undefined) return judgeEnd(socket)
    if (frame.type === 'subscribed') lastSeq = frame.seq ?? 0
    if (frame.type === 'error' && frame.code === 'unavailable') return
    if (frame.type === 'error') throw problemOfFrame(frame)
    for (const event of eventsIn(frame)) {
      if (event.seq < expected) continue
      if (event.seq > expected) return
      expected++
      yield { event, lastSeq }
    }
  }
}

function eventsIn(frame: ServerFrame): readonly CloudEvent[] {
  if (frame.type === 'event') return [frame.event]
  return frame.type === 'events' ? frame.events : []
}

function judgeEnd(socket: FrameSocket): void {
  if (socket.closeCode !== BAD_TOKEN) return
  throw new BatonProblem({
    status: 401,
    code: 'BTN_UNAUTHORIZED',
    title: 'No or unknown credential',
    detail: 'the credential is unknown or revoked',
  })
}
