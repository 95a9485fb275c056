/** What a workflow-runner would do to a run, once: load, decide, commit, say that it ended. */
import { randomUUIDv7 } from 'node:crypto'
import { isTerminal, keys } from '@baton/contracts'
import { applyEvent, compile, createState, type Decision, decide, type EngineFact, type RunState, summaryOf } from '@baton/engine'
import { connectRedis } from '@baton/runtime'
import { clock, commitBatch, getDefinition, loadInbox, loadRuns, putBlobs, type Sql } from '@baton/store'

const LIMITS = { inlineBytesMax: 65_536, outputBytesMax: 10_485_760, forEachItemsMax: 10_000 }

/** Decides these facts, and all that waits in the inbox. Gives the state that was committed. */
export async function advanceRun(sql: Sql, runId: string, facts: EngineFact[] = []): Promise<RunState> {
  const loaded = (await loadRuns(sql, [runId])).get(runId)!
  const { namespace, workflow, checksum } = loaded.header
  const { plan } = compile((await getDefinition(sql, namespace, checksum))!)
  const state = createState(plan!, loaded.header)
  for (const event of loaded.events) applyEvent(state, event)
  const inbox = await loadInbox(sql, [runId])
  const context = { now: await clock(sql), random: Math.random, newUuid: randomUUIDv7, vars: {}, blobs: new Map(), ...LIMITS }
  const decision = decide(state, [...inbox.map((row) => row.fact), ...facts], context)
  await putBlobs(sql, namespace, decision.blobs)
  const inboxIds = inbox.map((row) => row.id)
  const commit = { runId, namespace, workflow, fromSeq: loaded.seq, toSeq: state.seq, summary: summaryOf(state), decision, inboxIds }
  const beyond = { ...decision, emitted: [], children: [], slot: undefined as never }
  const { won } = await commitBatch(sql, [{ ...commit, ...(reaches(decision) ? { beyond } : {}) }])
  if (!won.has(runId)) throw new Error('the run moved meanwhile')
  return state
}

function reaches({ tasksOpened, tasksClosed, callbacksClosed, callbacksGivenUp }: Decision): boolean {
  return tasksOpened.length + tasksClosed.length + callbacksClosed.length + callbacksGivenUp.length > 0
}

/** Starts the run as a runner does when it takes it up. */
export function takeUp(sql: Sql, runId: string): Promise<RunState> {
  return advanceRun(sql, runId, [{ kind: 'start' }])
}

/** Tells everybody who waits that the run has ended. */
export async function tellEnd(redisUrl: string, state: RunState): Promise<void> {
  if (!isTerminal(state.status)) throw new Error(`the run is ${state.status}`)
  const redis = connectRedis(redisUrl, { name: 'test' })
  await redis.publish(keys.ended, state.header.runId)
  redis.disconnect()
}
