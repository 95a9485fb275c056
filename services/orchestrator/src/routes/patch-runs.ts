/** PATCH /runs/{id}/definition. */
import { DefinitionPatch, DefinitionPatched, spanIdOfRun } from '@baton/contracts'
import { joinTrace, problem } from '@baton/runtime'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Deps } from '../app.ts'
import { askerOf } from '../asker.ts'
import { definitionLimitsOf } from '../draft-runs.ts'
import { patchDefinition, refuseOtherVersion, refusePatching } from '../patch-definition.ts'
import { addRoute, invalidRequest } from '../route.ts'
import { findRun } from '../show-run.ts'

const PatchHeaders = z.object({ 'if-match': z.string().describe('the definitionVersion that was read, or *') })

/** Changes what a run has not begun yet. */
export function patchRoutes(app: FastifyInstance, { sql, settings, facts, foldRun, loadWhole }: Deps): void {
  const deps = { sql, foldRun, loadWhole, limits: definitionLimitsOf(settings) }

  addRoute(app, {
    method: 'PATCH',
    url: '/api/v1/runs/:id/definition',
    tag: 'runs',
    summary: 'Change the definition that a run executes, as far as it has not begun',
    description:
      'JSON Patch (RFC 6902), as application/json-patch+json or application/json, on what GET gives or on its `definition`. A patch that touches ' +
      'a step that has started is refused with 409 and its pointer. Without If-Match: 428.',
    headers: PatchHeaders,
    body: DefinitionPatch,
    answers: { 200: DefinitionPatched },
    problems: [400, 409, 412, 413, 415, 428],
    bodyLimit: settings.BATON_DEFINITION_BYTES_MAX,
    limitName: 'BATON_DEFINITION_BYTES_MAX',
    find: ({ caller, params }) => findRun(sql, caller.namespace, params.id),
    check(run, { request }) {
      refuseOtherVersion(run, readIfMatch(request.headers['if-match']))
      refusePatching(run)
    },
    async handle({ caller, found, body, request, reply }) {
      joinTrace(request, found.trace, spanIdOfRun(found.id))
      const expected = readIfMatch(request.headers['if-match'])
      const { definitionVersion, isChanged } = await patchDefinition(
        deps,
        found.id,
        { operations: body, expected },
        askerOf(caller, request),
      )
      if (isChanged) {
        // A wake-up only: the run goes on by it whenever it moves.
        facts.send({ kind: 'inbox', runId: found.id }).catch(() => {})
        request.log.info({ runId: found.id, definitionVersion }, 'definition of run changed')
      }
      reply.header('etag', `"${definitionVersion}"`)
      return { definitionVersion }
    },
  })
}

function readIfMatch(header: string | undefined): number | 'any' {
  if (header === undefined) {
    throw problem('BTN_PRECONDITION_REQUIRED', 'send If-Match with the definitionVersion that GET /runs/{id}/definition gives')
  }
  if (header.trim() === '*') return 'any'
  const digits = /^\s*(?:W\/)?"?(\d{1,9})"?\s*$/.exec(header)?.[1]
  if (digits === undefined) throw invalidRequest([{ pointer: '/headers/if-match', message: 'must be a definitionVersion, or *' }])
  return Number(digits)
}
