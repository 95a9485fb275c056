/** A runner as a process of its own, and a worker in the test that answers every call at once. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { CallsEntry, callIdOf, GROUPS, type HttpCall, keys, PARTITION_COUNT } from '@baton/contracts'
import { ackEntries, connectRedis, createFactSender, createLogger, readGroup } from '@baton/runtime'
import { findFreePort, serviceProgram, until } from '@baton/testing'

interface Teardown {
  teardown(action: () => unknown): void
}

export interface RunnerProcess {
  port: number
  child: ChildProcess
  kill(signal: NodeJS.Signals): Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

/** Starts a runner and waits until it is ready. */
export async function startRunner(
  t: Teardown,
  urls: { database: string; redis: string },
  port?: number,
  env: Record<string, string> = {},
): Promise<RunnerProcess> {
  const listen = port ?? (await findFreePort())
  const child = spawn(process.execPath, serviceProgram('workflow-runner'), {
    env: {
      ...process.env,
      DATABASE_URL: urls.database,
      REDIS_URL: urls.redis,
      PORT: String(listen),
      HOST: '127.0.0.1',
      LOG_LEVEL: 'warn',
      ...env,
    },
    stdio: ['ignore', process.env.SHOW_LOGS ? 'inherit' : 'ignore', 'inherit'],
  })
  const exited = once(child, 'exit')
  const runner: RunnerProcess = {
    port: listen,
    child,
    async kill(signal) {
      child.kill(signal)
      const [code, by] = await exited
      return { code, signal: by }
    },
  }
  t.teardown(() => (child.exitCode === null && child.signalCode === null ? runner.kill('SIGKILL') : undefined))
  await until(async () => (await fetch(`http://127.0.0.1:${listen}/ready`).catch(() => null))?.ok === true, { timeoutMs: 20_000 })
  return runner
}

export interface TestWorker {
  calls: HttpCall[]
  /** When each call came first and was answered first, in ms, by its id. */
  spans: Map<string, { from: number; to: number }>
  stop(): Promise<void>
}

/** Answers every call with `{ ok: true }` after 20 ms; an entry is acknowledged after its facts. */
export function answerCalls(t: Teardown, redisUrl: string): TestWorker {
  const redis = connectRedis(redisUrl, { name: 'test-worker' })
  const sender = createFactSender(redis)
  const stopping = new AbortController()
  const calls: HttpCall[] = []
  const spans: TestWorker['spans'] = new Map()
  const streams = Array.from({ length: PARTITION_COUNT }, (_, lane) => keys.calls(lane))
  const log = createLogger({ name: 'test', level: 'silent' })
  const reading = (async () => {
    for await (const entries of readGroup({
      redis,
      group: GROUPS.calls,
      consumer: 'test',
      schema: CallsEntry,
      log,
      streams,
      count: 10,
      blockMs: 200,
      signal: stopping.signal,
    })) {
      for (const { stream, id, value } of entries) {
        calls.push(...value)
        void Promise.all(value.map((call) => answer(call)))
          .then(() => {
            const pipeline = redis.pipeline()
            ackEntries(pipeline, stream, GROUPS.calls, [id])
            return pipeline.exec()
          })
          .catch(() => {})
      }
    }
  })()
  async function answer(call: HttpCall): Promise<void> {
    const from = performance.now()
    await new Promise((resolve) => setTimeout(resolve, 20))
    // A call that is sent again was answered before: the real worker would ask about it first.
    if (!spans.has(callIdOf(call))) spans.set(callIdOf(call), { from, to: performance.now() })
    const { runId, path, generation, attempt } = call
    return sender.send({
      kind: 'result',
      runId,
      path,
      generation,
      attempt,
      startedAt: Date.now(),
      outcome: { status: 'succeeded', output: { ok: true } },
    })
  }
  let stopped: Promise<void> | undefined
  const stop = () => {
    stopped ??= (async () => {
      stopping.abort()
      await reading
      redis.disconnect()
    })()
    return stopped
  }
  t.teardown(stop)
  return { calls, spans, stop }
}
