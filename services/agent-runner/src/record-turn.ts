/** Where the answers of turns go: Postgres first, then a wake-up for the runner. */
import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type AgentTurn, type InboxFact, type Json, storable } from '@baton/contracts'
import type { FactSender, Logger } from '@baton/runtime'
import { addToInbox, isCallWanted, loadInbox, putBlobs, type Sql } from '@baton/store'

type TurnFact = Extract<InboxFact, { kind: 'turn' }>

export interface TurnRecord {
  /** `recorded`: the turn stands in the inbox already. `unwanted`: its step no longer waits for it. */
  stateOf(turn: AgentTurn): Promise<'open' | 'recorded' | 'unwanted'>
  /** Tells the runner that the turn was not taken: a run that is ending waits for it no longer. */
  withdraw(turn: AgentTurn): Promise<void>
  /** Writes the fact, and tries again while Postgres is away: what it holds was paid for. Rejects with the reason of the signal. */
  settle(turn: AgentTurn, fact: TurnFact): Promise<void>
}

export interface RecordOptions {
  sql: Sql
  facts: FactSender
  log: Logger
  /** Outputs whose JSON is longer are stored as blobs. */
  inlineBytesMax: number
  outputBytesMax: number
  /** Gives up writing: the service has to end now. */
  signal: AbortSignal
}

const PAUSE_MS = 250
const PAUSE_MS_MAX = 5_000

/** The record of turns in Postgres. */
export function createTurnRecord(options: RecordOptions): TurnRecord {
  const { sql, facts, log, signal } = options
  return {
    async stateOf(turn) {
      // In this order: a turn that leaves the inbox between the two queries is no longer wanted by the time of the second.
      const rows = await loadInbox(sql, [turn.runId])
      if (rows.some(({ fact }) => fact.kind === 'turn' && isSameCall(fact, turn))) return 'recorded'
      return (await isCallWanted(sql, turn)) ? 'open' : 'unwanted'
    },
    async withdraw({ runId, path, generation, attempt }) {
      const error = { code: 'BTN_WITHDRAWN', message: 'the turn was withdrawn before it was taken' }
      const outcome = { status: 'failed', error, retryable: false } as const
      // Lost with Redis, it is made up for by the reconciler.
      await facts.send({ kind: 'result', runId, path, generation, attempt, startedAt: Date.now(), outcome }).catch((err: Error) => {
        log.warn({ err, runId, path }, 'withdrawal not sent')
      })
    },
    async settle(turn, fact) {
      const stored = bounded(storable(fact as Json) as TurnFact, options)
      for (let pauseMs = PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MS_MAX)) {
        try {
          if (stored.blobs.size > 0) await putBlobs(sql, turn.namespace, stored.blobs)
          await addToInbox(sql, turn.namespace, turn.runId, stored.fact)
          break
        } catch (error) {
          log.error({ err: error, runId: turn.runId, path: turn.path }, 'answer not recorded yet')
          await delay(pauseMs, undefined, { signal }).catch(() => {
            throw error
          })
        }
      }
      // A wake-up that is lost is made up for by the runner, which looks for old rows of the inbox.
      await facts.send({ kind: 'inbox', runId: turn.runId }).catch((error: Error) => log.warn({ err: error }, 'wake-up not sent'))
    },
  }
}

function isSameCall(fact: TurnFact, turn: AgentTurn): boolean {
  return fact.path === turn.path && fact.generation === turn.generation && fact.attempt === turn.attempt
}

/** The fact with a large output replaced by a reference, and the payload that it refers to. */
function bounded(
  fact: TurnFact,
  limits: { inlineBytesMax: number; outputBytesMax: number },
): { fact: TurnFact; blobs: Map<string, string> } {
  const blobs = new Map<string, string>()
  if (fact.outcome.status !== 'succeeded') return { fact, blobs }
  const text = JSON.stringify(fact.outcome.output)
  const bytes = Buffer.byteLength(text)
  if (bytes <= limits.inlineBytesMax) return { fact, blobs }
  if (bytes > limits.outputBytesMax) {
    const message = `the answer has ${bytes} bytes; at most ${limits.outputBytesMax} are allowed`
    return { fact: { ...fact, outcome: { status: 'failed', error: { code: 'BTN_OUTPUT_TOO_LARGE', message }, retryable: false } }, blobs }
  }
  const hash = `sha256:${createHash('sha256').update(text).digest('hex')}`
  blobs.set(hash, text)
  return { fact: { ...fact, outcome: { status: 'succeeded', output: { $blob: hash, bytes } satisfies Json } }, blobs }
}
