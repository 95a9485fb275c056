/** A run's events over Server-Sent Events: the same promise as watchRun, where WebSockets do not get through. */
import type { CloudEvent } from '@baton/contracts'
import { createParser } from 'eventsource-parser'
import { authHeaders, problemOf } from './http.ts'
import { backoffMs, pause } from './pause.ts'
import { BatonProblem, BatonUnreachable } from './problem.ts'
import { GIVE_UP_MS, isRunEnd, RECONNECT_MS, RECONNECT_MS_MAX, type WatchConnection, type WatchOptions } from './watch-options.ts'

type Reader = ReadableStreamDefaultReader<Uint8Array>

/** Without even a comment for this long the connection is taken for dead. */
const SILENCE_MS = 40_000

/** Gives the events with seq > `after` and then those to come, until the run has ended. Reconnects by itself; throws as watchRun does. */
export async function* watchRunSse(
  connection: WatchConnection,
  runId: string,
  options: Omit<WatchOptions, 'follow'> = {},
): AsyncGenerator<CloudEvent, void, undefined> {
  const { signal, giveUpMs = GIVE_UP_MS } = options
  let last = options.after ?? 0
  let ended = false
  let failures = 0
  let aliveAt = Date.now()
  for (;;) {
    try {
      const body = await openStream(connection, runId, last, signal)
      if (body === undefined) return
      try {
        for await (const event of eventsOf(body)) {
          if (event.seq <= last) continue
          if (event.seq > last + 1) break
          failures = 0
          last = event.seq
          ended = isRunEnd(event)
          yield event
        }
      } finally {
        aliveAt = Date.now()
      }
      // The server ends the answer after the end of the run, and only then.
      if (ended) return
    } catch (err) {
      signal?.throwIfAborted()
      if (err instanceof BatonProblem && err.status < 500 && err.status !== 429) throw err
      if (Date.now() - aliveAt > giveUpMs) throw err instanceof BatonProblem ? err : new BatonUnreachable(connection.fanoutUrl, err)
    }
    signal?.throwIfAborted()
    await pause(backoffMs(failures++, RECONNECT_MS, RECONNECT_MS_MAX), signal)
  }
}

/** The open answer, or undefined when there is nothing newer and never will be. */
async function openStream(
  connection: WatchConnection,
  runId: string,
  after: number,
  signal?: AbortSignal,
): Promise<ReadableStream<Uint8Array> | undefined> {
  const response = await connection.fetch(`${connection.fanoutUrl}/sse/runs/${encodeURIComponent(runId)}`, {
    headers: { ...authHeaders(connection), accept: 'text/event-stream', 'last-event-id': String(after) },
    ...(signal === undefined ? {} : { signal }),
  })
  if (response.status === 204) return undefined
  if (!response.ok) throw problemOf(response, await response.text())
  return response.body ?? undefined
}

async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<CloudEvent, void, undefined> {
  const events: CloudEvent[] = []
  const parser = createParser({ onEvent: (message) => void events.push(JSON.parse(message.data) as CloudEvent) })
  const decoder = new TextDecoder()
  const reader = body.getReader()
  try {
    for (;;) {
      const { done, value } = await readInTime(reader)
      if (done) return
      parser.feed(decoder.decode(value, { stream: true }))
      yield* events.splice(0)
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
}

async function readInTime(reader: Reader): ReturnType<Reader['read']> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing was heard for ${SILENCE_MS / 1_000} s`)), SILENCE_MS)
  })
  try {
    return await Promise.race([reader.read(), silence])
  } finally {
    clearTimeout(timer)
  }
}
