/**
 * Who may call what: one row per route, enforced by the hooks of access.ts. A route without a row does not start.
 * HEAD follows GET. `public` needs no credential.
 */
import type { Role } from '@baton/contracts'

export type Access = 'public' | readonly Role[]

const READERS = ['admin', 'developer', 'operator', 'viewer'] as const
export const BUILDERS: readonly Role[] = ['admin', 'developer']
const OPERATORS = ['admin', 'developer', 'operator'] as const
const ADMINS = ['admin'] as const
/** Who may claim tasks. */
export const WORKERS: readonly Role[] = ['admin', 'operator', 'worker']

export const ROUTE_ROLES: Readonly<Record<string, Access>> = {
  'GET /': 'public',
  'GET /healthz': 'public',
  'GET /ready': 'public',
  'GET /health': 'public',
  'GET /metrics': 'public',
  'GET /openapi.json': 'public',
  'GET /docs': 'public',
  'GET /docs/*': 'public',
  'GET /status': READERS,

  'GET /api/v1/workflows': READERS,
  'POST /api/v1/workflows/validate': READERS,
  'GET /api/v1/workflows/:name': READERS,
  'PUT /api/v1/workflows/:name': BUILDERS,
  'DELETE /api/v1/workflows/:name': BUILDERS,
  'GET /api/v1/workflows/:name/versions': READERS,
  'GET /api/v1/workflows/:name/versions/:version': READERS,
  'PUT /api/v1/workflows/:name/tags/:tag': BUILDERS,
  'POST /api/v1/workflows/:name/runs': OPERATORS,
  'POST /api/v1/workflows/:name/runs/batch': OPERATORS,

  'GET /api/v1/runs': READERS,
  'GET /api/v1/runs/count': READERS,
  'GET /api/v1/runs/stuck': READERS,
  'GET /api/v1/runs/:id': READERS,
  'GET /api/v1/runs/:id/steps': READERS,
  'GET /api/v1/runs/:id/steps/:path': READERS,
  'GET /api/v1/runs/:id/steps/:path/output': READERS,
  'GET /api/v1/runs/:id/events': READERS,
  'GET /api/v1/runs/:id/graph': READERS,
  'GET /api/v1/runs/:id/definition': READERS,
  'GET /api/v1/runs/:id/why': READERS,
  'POST /api/v1/runs/:id/cancel': OPERATORS,
  'POST /api/v1/runs/:id/pause': OPERATORS,
  'POST /api/v1/runs/:id/resume': OPERATORS,
  'POST /api/v1/runs/:id/retry': OPERATORS,
  // With `config` it changes what is executed: developers alone (routes/reopen-runs.ts).
  'POST /api/v1/runs/:id/steps/:path/replay': OPERATORS,
  'POST /api/v1/runs/:id/fork': OPERATORS,
  'POST /api/v1/runs/retry': OPERATORS,
  'POST /api/v1/runs/fork': OPERATORS,
  'PATCH /api/v1/runs/:id/definition': BUILDERS,
  'GET /api/v1/audit': ADMINS,

  'POST /api/v1/events': OPERATORS,
  'GET /api/v1/schedules': READERS,
  'GET /api/v1/schedules/:name': READERS,
  'PUT /api/v1/schedules/:name': BUILDERS,
  'DELETE /api/v1/schedules/:name': BUILDERS,
  'GET /api/v1/triggers': READERS,
  'GET /api/v1/triggers/:name': READERS,
  'PUT /api/v1/triggers/:name': BUILDERS,
  'DELETE /api/v1/triggers/:name': BUILDERS,
  'POST /api/v1/triggers/:name/rotate': BUILDERS,
  // The token in the address is the credential.
  'POST /hooks/:token': 'public',
  'POST /callbacks/:token': 'public',

  // Whoever may read may be an assignee; eligibility is judged by the approval itself.
  'GET /api/v1/approvals': READERS,
  'GET /api/v1/approvals/:id': READERS,
  'POST /api/v1/approvals/:id/decision': READERS,
  'POST /api/v1/runs/:id/approvals/:path/decision': READERS,

  'GET /api/v1/tasks': [...READERS, 'worker'],
  'GET /api/v1/tasks/:id': [...READERS, 'worker'],
  'POST /api/v1/tasks/claim': WORKERS,
  'POST /api/v1/tasks/:id/claim': WORKERS,
  'POST /api/v1/tasks/:id/progress': WORKERS,
  'POST /api/v1/tasks/:id/complete': WORKERS,
  'POST /api/v1/tasks/:id/fail': WORKERS,
  'POST /api/v1/tasks/:id/release': WORKERS,
  'POST /api/v1/tasks/:id/handoff': WORKERS,

  'GET /api/v1/api-keys': ADMINS,
  'POST /api/v1/api-keys': ADMINS,
  'DELETE /api/v1/api-keys/:id': ADMINS,

  'GET /api/v1/secrets': READERS,
  'GET /api/v1/secrets/:name': READERS,
  'PUT /api/v1/secrets/:name': BUILDERS,
  'DELETE /api/v1/secrets/:name': BUILDERS,
  'GET /api/v1/vars': READERS,
  'GET /api/v1/vars/:name': READERS,
  'PUT /api/v1/vars/:name': BUILDERS,
  'DELETE /api/v1/vars/:name': BUILDERS,
}

/** The row of a route (its pattern, not its address), or undefined when the table has none. */
export function accessOf(method: string, url: string): Access | undefined {
  return ROUTE_ROLES[`${method === 'HEAD' ? 'GET' : method} ${url.startsWith('/docs/') ? '/docs/*' : url}`]
}
