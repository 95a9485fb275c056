/** A fanout on a database and a Redis of its own, with runs whose events the test writes and publishes as it likes. */
import { spawn } from 'node:child_process'
import { randomUUID, randomUUIDv7 } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { type EventType, idOf, keys, type LiveEvent, type ServerFrame, type StoredEvent } from '@baton/contracts'
import { connectRedis, createLogger, parseSettings } from '@baton/runtime'
import { createApiKey, createRuns, findApiKey, hashApiKey, listEvents, revokeApiKey } from '@baton/store'
import { findFreePort, testDatabase, testRedis, until } from '@baton/testing'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { buildApp } from '../src/app.ts'
import { Settings } from '../src/config.ts'

export const ADMIN_KEY = 'admin-key-of-the-test'

/** Everything a test touches. */
export type Bench = Awaited<ReturnType<typeof startBench>>

export async function startBench(t: Test, settings: Record<string, string> = {}) {
  const [database, server] = await Promise.all([testDatabase(t), testRedis(t)])
  const { sql } = database
  const redis = connectRedis(server.url, { name: 'test' })
  t.teardown(() => redis.disconnect())
  const env = {
    DATABASE_URL: database.url,
    REDIS_URL: server.url,
    HOST: '127.0.0.1',
    PORT: '0',
    LOG_LEVEL: 'error',
    BATON_ADMIN_KEY: ADMIN_KEY,
  }
  const start = async () => {
    const service = await buildApp(parseSettings(Settings, { ...env, ...settings }), createLogger({ name: 'fanout', level: 'error' }))
    await service.app.listen({ host: '127.0.0.1', port: 0 })
    t.teardown(() => service.app.close())
    return { app: service.app, clients: service.clients!, port: (service.app.server.address() as AddressInfo).port }
  }
  const { app, clients, port } = await start()

  /** A run with its first event. */
  async function createRun(namespace = 'default', workflow = 'refund'): Promise<string> {
    const id = randomUUIDv7()
    await createRuns(sql, [{ id, namespace, workflow, version: 1, checksum: 'sha256:0', input: {}, startedBy: 'test' }])
    return id
  }

  /** Commits further events, as a runner would; the last one may end the run. */
  async function commit(run: string, count: number, options: { end?: boolean; data?: StoredEvent['data']; type?: EventType } = {}) {
    const [row] = await sql<
      { seq: number; namespace: string; workflow: string }[]
    >`select seq, namespace, workflow from runs where id = ${run}`
    const { seq, namespace, workflow } = row!
    const events = Array.from({ length: count }, (_, index): LiveEvent => {
      const isEnd = options.end === true && index === count - 1
      const type: EventType = isEnd ? 'run.succeeded' : (options.type ?? 'step.succeeded')
      return {
        runId: run,
        seq: seq + index + 1,
        type,
        path: isEnd ? '' : `s${seq + index}`,
        at: Date.now(),
        data: options.data ?? { n: index },
        namespace,
        workflow,
      }
    })
    await sql.begin(async (tx) => {
      for (const e of events) {
        await tx`insert into run_events (run_id, seq, at, namespace, type, path, data)
                 values (${run}, ${e.seq}, now(), ${namespace}, ${e.type}, ${e.path}, ${tx.json(e.data)})`
      }
      await tx`update runs set seq = ${seq + count}, status = ${options.end ? 'succeeded' : 'running'}, ended_at = ${options.end ? sql`now()` : null} where id = ${run}`
    })
    return events
  }

  /** Publishes one entry, on whatever lane. */
  async function publish(events: readonly LiveEvent[], lane = 0): Promise<void> {
    await redis.xadd(keys.events(lane), '*', 'd', JSON.stringify(events))
  }

  async function createKey(role: 'admin' | 'operator' | 'viewer' | 'worker', namespace = 'default') {
    const key = `btn_${randomUUID()}`
    const id = randomUUIDv7()
    await createApiKey(sql, { id, namespace, name: id, role, groups: [], hash: hashApiKey(key) })
    return {
      key,
      async revoke(tell: boolean) {
        await revokeApiKey(sql, namespace, id)
        if (tell) await redis.publish(keys.revoked, hashApiKey(key).toString('hex'))
      },
      isLive: async () => (await findApiKey(sql, hashApiKey(key))) !== undefined,
    }
  }

  return {
    ...{ t, sql, databaseUrl: database.url, redis, server, app, clients, port, start, createRun, commit, publish, createKey },
    events: (run: string) => listEvents(sql, run, 0, 10_000),
    connect: (options?: ConnectOptions) => connectClient(t, port, options),
    sse: (run: string, options: { after?: string; lastEventId?: string; key?: string; query?: string } = {}) =>
      openSse(t, port, run, options),
  }
}

/** A fanout as a process of its own, on the stores of the bench. */
export async function startProcess(t: Test, bench: Bench) {
  const port = await findFreePort()
  const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))
  const env = {
    DATABASE_URL: bench.databaseUrl,
    REDIS_URL: bench.server.url,
    BATON_ADMIN_KEY: ADMIN_KEY,
    HOST: '127.0.0.1',
    PORT: `${port}`,
  }
  const child = spawn(process.execPath, ['--conditions=@baton/source', main], { env: { ...process.env, ...env }, stdio: 'ignore' })
  t.teardown(() => child.kill('SIGKILL'))
  await until(async () => (await fetch(`http://127.0.0.1:${port}/ready`)).ok, { timeoutMs: 20_000 })
  return { port, child }
}

interface ConnectOptions {
  key?: string
  headers?: Record<string, string>
  query?: string
  protocols?: string[]
  port?: number
}

/** A WebSocket client that keeps what it got. */
export async function connectClient(t: Test, port: number, options: ConnectOptions = {}) {
  const headers = options.headers ?? (options.query || options.protocols ? {} : { authorization: `Bearer ${options.key ?? ADMIN_KEY}` })
  const socket = new WebSocket(`ws://127.0.0.1:${options.port ?? port}/ws${options.query ?? ''}`, options.protocols ?? [], { headers })
  const frames: ServerFrame[] = []
  socket.on('message', (data) => frames.push(JSON.parse(String(data)) as ServerFrame))
  const closed = new Promise<number>((resolve) => socket.once('close', resolve))
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  socket.on('error', () => {})
  t.teardown(() => socket.terminate())
  const send = (frame: unknown) => socket.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame))
  return {
    socket,
    frames,
    closed,
    send,
    /** Sends a frame and waits for the next one that is not an event. */
    async ask(frame: unknown): Promise<ServerFrame> {
      const from = frames.length
      send(frame)
      return until(() => frames.slice(from).find((one) => one.type !== 'event' && one.type !== 'events'), { what: 'an answer' })
    },
    /** Seqs of the events of a topic, in the order of their coming. */
    seqs: (topic: string) => seqsOf(frames, topic),
  }
}

export function seqsOf(frames: readonly ServerFrame[], topic: string): number[] {
  return frames.flatMap((frame) => {
    if (frame.type === 'event' && frame.topic === topic) return [frame.event.seq]
    return frame.type === 'events' && frame.topic === topic ? frame.events.map((event) => event.seq) : []
  })
}

/** An SSE client that keeps the text it got. */
export async function openSse(
  t: Test,
  port: number,
  run: string,
  options: { after?: string; lastEventId?: string; key?: string; query?: string },
) {
  const stop = new AbortController()
  t.teardown(() => stop.abort())
  const id = run.startsWith('run_') ? run : idOf('run', run)
  const query = options.query ?? (options.after === undefined ? '' : `?after=${options.after}`)
  const response = await fetch(`http://127.0.0.1:${port}/sse/runs/${id}${query}`, {
    signal: stop.signal,
    headers: {
      ...(options.query ? {} : { authorization: `Bearer ${options.key ?? ADMIN_KEY}` }),
      ...(options.lastEventId === undefined ? {} : { 'last-event-id': options.lastEventId }),
    },
  })
  const state = { text: '', ended: false }
  const done = (async () => {
    const decoder = new TextDecoder()
    for await (const chunk of response.body ?? []) state.text += decoder.decode(chunk, { stream: true })
  })()
    .catch(() => {})
    .finally(() => {
      state.ended = true
    })
  return {
    response,
    state,
    done,
    stop: () => stop.abort(),
    ids: () => [...state.text.matchAll(/^id: (\d+)$/gm)].map((match) => Number(match[1])),
  }
}

/** 1 … n. */
export function upTo(n: number, from = 1): number[] {
  return Array.from({ length: n - from + 1 }, (_, index) => from + index)
}
