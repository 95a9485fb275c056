/** What a decision changes outside its own run, as the store takes it. */
import type { Decision, RunHeader } from '@baton/engine'
import type { Beyond, NewRun } from '@baton/store'

/** Undefined for most decisions: they change nothing but their run. */
export function beyondOf(header: RunHeader, decision: Decision): Beyond | undefined {
  const { waitersSet, waitersCleared, callbacksClosed, callbacksGivenUp, emitted, told, tasksOpened, tasksClosed, slot } = decision
  const own = tasksOpened.length + tasksClosed.length + callbacksClosed.length + callbacksGivenUp.length
  const size = waitersSet.length + waitersCleared.length + emitted.length + decision.children.length + told.length + own
  if (size === 0 && !slot) return undefined
  const wish = slot ? { slot: { ...slot, priority: header.priority } } : {}
  const children = decision.children.map((child) => newRunOf(header, child))
  const callbacks = { callbacksClosed, callbacksGivenUp }
  return { waitersSet, waitersCleared, ...callbacks, emitted, told, tasksOpened, tasksClosed, children, ...wish }
}

/** A child run is started by whoever started the first run above it: who may decide its approvals is judged by that. */
function newRunOf(header: RunHeader, child: Decision['children'][number]): NewRun {
  const { id, workflow, version, checksum, input, timeoutMs, path, generation } = child
  const { runId, namespace, priority, startedBy, trace, requestId, depth = 0 } = header
  return {
    ...{ id, namespace, workflow, version, checksum, input, priority, startedBy, depth: depth + 1 },
    parent: { runId, path, generation },
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(trace ? { trace } : {}),
    ...(requestId ? { requestId } : {}),
  }
}
