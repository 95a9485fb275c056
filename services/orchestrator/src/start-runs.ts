/**
 * Starting runs. Durable first: the insert is grouped with those of the same moment, and answers when it is committed. Then the runner is
 * told, with all it needs to begin; when that message is lost, its reconciler finds the run in Postgres.
 */
import { type Fact, type Json, PARTITION_COUNT, partitionOf } from '@baton/contracts'
import type { RunHeader } from '@baton/engine'
import type { FactSender } from '@baton/runtime'
import { type CreatedRun, createRuns, createRunsTogether, isValueRefused, type NewRun, putBlobs, type Sql } from '@baton/store'
import { groupCommits } from './group-commits.ts'
import type { Metrics } from './metrics.ts'

/** Inputs that one batch puts into one entry of a stream. */
const ENTRY_BYTES_MAX = 256 * 1024

/** A run to be started, with the text of its input when that goes beside it as a blob. */
export interface RunToStart extends NewRun {
  blob?: { id: string; text: string }
  /** What the input takes in the start fact. */
  inputBytes: number
}

/** What became of it; `at` is when it was created, in ms by the clock of Postgres. */
export interface StartedRun extends CreatedRun {
  at: number
}

export interface RunStarter {
  /** Starts a run together with whatever else is being started. */
  start(run: RunToStart): Promise<StartedRun>
  /** Starts all, or none when one has a key that belongs to another body. */
  startTogether(runs: RunToStart[]): Promise<StartedRun[]>
  /** Tells the runner of runs that somebody else has stored, once that is committed. */
  announce(runs: readonly RunToStart[], started: readonly StartedRun[]): void
}

export interface RunStarterOptions {
  sql: Sql
  facts: FactSender
  metrics: Metrics
  groupRunsMax: number
  groupsMax: number
}

/** Makes the one starter of this process. */
export function createRunStarter({ sql, facts, metrics, groupRunsMax, groupsMax }: RunStarterOptions): RunStarter {
  async function write(runs: RunToStart[]): Promise<StartedRun[]> {
    const { at, runs: created } = await createRuns(sql, runs)
    metrics.startGroupRuns.observe(runs.length)
    return created.map((run) => ({ ...run, at }))
  }
  const writeGrouped = groupCommits({ write, itemsMax: groupRunsMax, groupsMax, isPoison: isValueRefused })

  function announce(run: RunToStart, started: StartedRun, withHeader = true): void {
    if (started.outcome !== 'created') return
    metrics.runsStarted.inc()
    // Not waited for: the run is durable, and the reconciler finds what Redis did not take.
    facts.send(startFactOf(run, started.at, withHeader)).catch(() => {})
  }

  return {
    async start(run) {
      if (run.blob) await putBlobs(sql, run.namespace, new Map([[run.blob.id, run.blob.text]]))
      const [started] = await writeGrouped([run])
      announce(run, started!)
      return started!
    },
    async startTogether(runs) {
      const blobs = new Map(runs.flatMap(({ blob }) => (blob ? [[blob.id, blob.text] as const] : [])))
      if (blobs.size > 0) await putBlobs(sql, runs[0]!.namespace, blobs)
      const { at, runs: created } = await createRunsTogether(sql, runs)
      const started = created.map((run) => ({ ...run, at }))
      if (started.some((run) => run.outcome === 'mismatch')) return started
      announceAll(runs, started)
      return started
    },
    announce: announceAll,
  }

  /** Entries of a stream stay small: once a partition's share of a batch is large, the rest are mere wake-ups. */
  function announceAll(runs: readonly RunToStart[], started: readonly StartedRun[]): void {
    const bytes: number[] = new Array(PARTITION_COUNT).fill(0)
    for (const [index, run] of runs.entries()) {
      const partition = partitionOf(run.id)
      bytes[partition]! += run.inputBytes
      announce(run, started[index]!, bytes[partition]! <= ENTRY_BYTES_MAX)
    }
  }
}

function startFactOf(run: RunToStart, at: number, withHeader: boolean): Fact {
  const { id: runId, namespace, workflow, version, checksum, input, labels = {}, priority = 5, startedBy, trace, requestId } = run
  if (!withHeader) return { kind: 'start', runId }
  const header: RunHeader = { runId, namespace, workflow, version, checksum, input, labels, priority, startedBy, createdAt: at }
  if (trace) header.trace = trace
  if (requestId) header.requestId = requestId
  return { kind: 'start', runId, run: header as unknown as Record<string, Json> }
}
