/** What telling people and keeping watch need of the world: Postgres, Redis and the guarded HTTP client. */
import { type Approval, idOf, type Notification, spanIdOfStep } from '@baton/contracts'
import { AddressRefused, type FactSender, type Logger, type Outbound, type Producer, type Redis, type Tracing } from '@baton/runtime'
import { type ApprovalRow, createSecretBox, findApproval, findOverdue, findUnnotified, markNotified, type Sql } from '@baton/store'
import type { Settings } from './config.ts'
import type { WatchDeps } from './keep-watch.ts'
import type { NotifyMetrics } from './metrics.ts'
import { type NotifyDeps, type Progress, Refused, type Unnotified } from './notify-approval.ts'
import type { Message } from './render-message.ts'

const ANSWER_BYTES_MAX = 1024 * 1024
const PROGRESS_SECONDS = 7 * 24 * 3_600

/** For notifyApproval; each job adds its log and signal. */
export function createNotifyDeps(from: {
  sql: Sql
  redis: Redis
  outbound: Outbound
  settings: Settings
  metrics: NotifyMetrics
  tracing: Tracing
}): Omit<NotifyDeps, 'log' | 'signal'> {
  const { sql, redis, outbound, settings, metrics, tracing } = from
  const box = createSecretBox(settings.BATON_MASTER_KEY)
  return {
    find: async (approvalId) => unnotifiedOf(await findApproval(sql, approvalId)),
    secrets: (namespace, names) => box.readSecrets(sql, namespace, names),
    post: (message, signal) => post(outbound, message, settings.HITL_TIMEOUT_MS, signal),
    markNotified: async (approvalId) => void (await markNotified(sql, approvalId)),
    progress: createProgress(redis),
    publicUrl: settings.BATON_PUBLIC_URL,
    metrics,
    tracing,
  }
}

/** For requeueUnnotified and wakeOverdue. */
export function createWatchDeps(from: {
  sql: Sql
  facts: FactSender
  producer: Producer<Notification>
  metrics: NotifyMetrics
  log: Logger
}): WatchDeps {
  const { sql, facts, producer, metrics, log } = from
  return {
    unnotified: async (olderThanMs, limit) =>
      (await findUnnotified(sql, olderThanMs, limit)).map(({ trace, requestId, ...job }) => ({
        ...job,
        ...(trace === null ? {} : { trace }),
        ...(requestId === null ? {} : { requestId }),
      })),
    overdue: (byMs, limit) => findOverdue(sql, byMs, limit),
    enqueue: (jobs) => producer.addMany(jobs),
    send: (fact) => facts.send(fact),
    metrics,
    log,
  }
}

/** The row in the shape that people see, if somebody is still to be told of it. */
function unnotifiedOf(row: ApprovalRow | undefined): Unnotified | undefined {
  if (row?.status !== 'pending' || row.notifiedAt !== null || row.notify === null) return undefined
  const { title, description, data, form, options, assignees, quorum, decision } = row
  const approval: Approval = {
    id: idOf('approval', row.id),
    run: idOf('run', row.runId),
    step: row.path,
    status: row.status,
    ...{ title, description, data, form, options, assignees, quorum, decision },
    decisions: [],
    createdAt: new Date(row.createdAt).toISOString(),
    deadline: row.deadline === null ? null : new Date(row.deadline).toISOString(),
  }
  // An approval is one attempt of its step.
  const waitSpanId = spanIdOfStep({ runId: row.runId, path: row.path, generation: row.generation, attempt: 1 })
  return { approval, notify: row.notify, notifySecrets: row.notifySecrets, runId: row.runId, waitSpanId }
}

async function post(outbound: Outbound, message: Message, timeoutMs: number, signal: AbortSignal): Promise<number> {
  const { url, headers, body } = message
  try {
    const request = { method: 'POST', headers, body: JSON.stringify(body), timeoutMs, signal, bytesMax: ANSWER_BYTES_MAX }
    // A redirect is an answer that is no success: where people are told is written in the definition.
    return (await outbound.request(url, { ...request, redirect: 'manual' })).status
  } catch (error) {
    // Its message names the host, which may be part of a secret.
    if (error instanceof AddressRefused) throw new Refused(`the address may not be called: ${error.reason}`)
    throw error
  }
}

/** Progress in Redis, forgotten with it: then a channel is told again under the same Idempotency-Key. */
function createProgress(redis: Redis): Progress {
  const keyOf = (approvalId: string) => `notified:${approvalId}`
  return {
    done: async (approvalId) => new Set((await redis.smembers(keyOf(approvalId))).map(Number)),
    async add(approvalId, channel) {
      await redis.multi().sadd(keyOf(approvalId), channel).expire(keyOf(approvalId), PROGRESS_SECONDS).exec()
    },
  }
}
