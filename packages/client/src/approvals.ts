/** Approvals: questions put to people. */
import type { Approval, ApprovalStatus, DecisionBody } from '@baton/contracts'
import type { CallOptions, Send } from './http.ts'
import { readPages } from './pages.ts'

/** Which approvals. `assignee: 'me'`: those that this key may decide. */
export interface ApprovalQuery {
  status?: ApprovalStatus
  assignee?: string
  run?: string
}

/** Calls on /api/v1/approvals. */
export function approvalCalls(send: Send) {
  return {
    /** Approvals, newest first. */
    list(query: ApprovalQuery = {}, options: CallOptions & { pageSize?: number } = {}): AsyncGenerator<Approval, void, undefined> {
      return readPages(send, '/api/v1/approvals', { ...query, limit: options.pageSize ?? 50 }, options.signal)
    },
    get(id: string, options: CallOptions = {}): Promise<Approval> {
      return send({ method: 'GET', path: `/api/v1/approvals/${encodeURIComponent(id)}`, ...options })
    },
    /** Votes. Votes are final: a second one, or one that comes too late, is a BatonProblem with status 409. */
    decide(id: string, decision: DecisionBody, options: CallOptions = {}): Promise<Approval> {
      return send({ method: 'POST', path: `/api/v1/approvals/${encodeURIComponent(id)}/decision`, body: decision, ...options })
    },
  }
}
