/** What `/why` says of a step that waits for a task. */
import type { WaitingFor } from './state.ts'

/** How a task stands, as far as `/why` tells it. */
export interface TaskStanding {
  /** Public id. */
  task: string
  /** Name of who holds it, and until when (RFC 3339). */
  claimedBy: string | null
  leaseUntil: string | null
  reservedFor: string | null
  progress: { percent: number | null; note: string | null } | null
}

type TaskWait = Extract<WaitingFor, { kind: 'task' }>

/** One sentence, and who can move it. `due` is empty, or ` at <time>`. */
export function explainTask({ task, capabilities }: TaskWait, tasks: readonly TaskStanding[], due: string) {
  const standing = tasks.find((other) => other.task === task)
  const until = due ? `; it gives up${due}` : ''
  if (standing?.claimedBy && standing.leaseUntil !== null) {
    const { claimedBy, leaseUntil } = standing
    const reason = `${claimedBy} works on ${task}${progressOf(standing)}; the claim ends at ${leaseUntil} without a sign of life${until}`
    return { reason, movableBy: [`worker:${claimedBy}`] }
  }
  if (standing?.reservedFor) {
    return {
      reason: `waits for ${standing.reservedFor} to claim ${task}, which was handed on${until}`,
      movableBy: [`worker:${standing.reservedFor}`],
    }
  }
  const movableBy = capabilities.map((capability) => `capability:${capability}`)
  return { reason: `waits for a worker with ${capabilities.join(', ')} to claim ${task}${until}`, movableBy }
}

function progressOf({ progress }: TaskStanding): string {
  if (!progress) return ''
  const parts = [progress.percent === null ? '' : `${progress.percent} %`, progress.note ?? ''].filter((part) => part !== '')
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`
}
