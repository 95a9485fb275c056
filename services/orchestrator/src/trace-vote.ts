/** A vote in the trace of the run that waits for it. */
import { spanIdOfStep } from '@baton/contracts'
import { joinTrace, type Tracing, traceOf } from '@baton/runtime'
import type { ApprovalRow } from '@baton/store'
import type { FastifyRequest } from 'fastify'

/**
 * Takes the vote. Its request becomes a child of the approval's wait; where the caller has a trace of its own, a span `vote` stands for it there, linked
 * with the request.
 */
export async function traceVote<T>(
  deps: { tracing: Tracing },
  request: FastifyRequest,
  approval: ApprovalRow,
  vote: () => Promise<T>,
): Promise<T> {
  const { runId, path, generation, id: approvalId } = approval
  // An approval is one attempt: only what works outside the runner is tried again.
  const waitSpanId = spanIdOfStep({ runId, path, generation, attempt: 1 })
  const standIn = joinTrace(request, approval.trace, waitSpanId)
  const startMs = Date.now()
  const startedAt = performance.now()
  const answer = await vote()
  request.log.info({ runId, path, approvalId }, 'vote counted')
  if (standIn !== undefined && deps.tracing.exporting) {
    deps.tracing.record({
      name: 'vote',
      kind: 'internal',
      trace: standIn,
      parentSpanId: waitSpanId,
      startMs,
      endMs: startMs + performance.now() - startedAt,
      attributes: {
        'baton.run.id': `run_${runId}`,
        'baton.step.path': path,
        'baton.approval.id': `apr_${approvalId}`,
        'baton.request.id': request.id,
      },
      links: [traceOf(request)],
    })
  }
  return answer
}
