/** Reading, tagging and archiving workflows. */
import { listOf, NAME, TagBody, WorkflowDetail, WorkflowSummary, WorkflowVersion, WorkflowVersionDetail } from '@baton/contracts'
import { problem } from '@baton/runtime'
import { archiveWorkflow, getVersion, getWorkflow, listVersions, listWorkflows, putTag, type Sql } from '@baton/store'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Deps } from '../app.ts'
import { PageQuery } from '../bodies.ts'
import type { Caller } from '../caller.ts'
import { versionOf, workflowOf } from '../public-shapes.ts'
import { addRoute, invalidRequest } from '../route.ts'

const tag = 'workflows'
const WorkflowTag = z.object({ name: z.string(), tag: z.string(), version: z.int(), percent: z.int().optional() })

function findWorkflow(sql: Sql) {
  return async ({ caller, params }: { caller: Caller; params: { name: string } }) => {
    const workflow = await getWorkflow(sql, caller.namespace, params.name)
    if (!workflow) throw problem('BTN_WORKFLOW_NOT_FOUND', `no workflow ${params.name.slice(0, 100)}`)
    return workflow
  }
}

/** Lists workflows, shows and archives one. */
export function workflowRoutes(app: FastifyInstance, { sql }: Deps): void {
  const find = findWorkflow(sql)

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/workflows',
    tag,
    summary: 'List workflows, newest first',
    query: PageQuery,
    answers: { 200: listOf(WorkflowSummary) },
    async handle({ caller, query }) {
      const { items, nextCursor } = await listWorkflows(sql, caller.namespace, query)
      return { items: items.map(workflowOf), nextCursor }
    },
  })

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/workflows/:name',
    tag,
    summary: 'A workflow with the definition of its highest version',
    answers: { 200: WorkflowDetail },
    find,
    handle: ({ found }) => ({ ...workflowOf(found), checksum: found.checksum, definition: found.definition }),
  })

  addRoute(app, {
    method: 'DELETE',
    url: '/api/v1/workflows/:name',
    tag,
    summary: 'Archive a workflow: it can no longer be started',
    answers: { 204: null },
    find,
    async handle({ caller, params, reply }) {
      await archiveWorkflow(sql, caller.namespace, params.name)
      return reply.code(204).send()
    },
  })
}

/** PUT /workflows/{name}/tags/{tag}. */
export function tagRoutes(app: FastifyInstance, { sql }: Deps): void {
  addRoute(app, {
    method: 'PUT',
    url: '/api/v1/workflows/:name/tags/:tag',
    tag,
    summary: 'Point a tag at a version',
    description:
      'Runs that name neither version nor tag start the version of the tag `live`, if it is set. With `percent` the tag `canary` takes that share of them.',
    body: TagBody,
    answers: { 200: WorkflowTag },
    problems: [400, 413, 415],
    find: findWorkflow(sql),
    async handle({ caller, params, body }) {
      if (!NAME.test(params.tag)) throw invalidRequest([{ pointer: '/path/tag', message: `must match ${NAME.source}` }])
      const { version, percent } = body
      if (percent !== undefined && params.tag !== 'canary') {
        throw invalidRequest([{ pointer: '/percent', message: 'only the tag canary takes a share of the runs' }])
      }
      const put = await putTag(sql, caller.namespace, params.name, params.tag, version, percent)
      if (!put) throw problem('BTN_WORKFLOW_NOT_FOUND', `workflow ${params.name} has no version ${version}`)
      return { name: params.name, tag: params.tag, version, ...(percent === undefined ? {} : { percent }) }
    },
  })
}

/** The versions of a workflow. */
export function versionRoutes(app: FastifyInstance, { sql }: Deps): void {
  addRoute(app, {
    method: 'GET',
    url: '/api/v1/workflows/:name/versions',
    tag,
    summary: 'List the versions of a workflow, newest first',
    query: PageQuery,
    answers: { 200: listOf(WorkflowVersion) },
    find: findWorkflow(sql),
    async handle({ caller, params, query }) {
      const { items, nextCursor } = await listVersions(sql, caller.namespace, params.name, query)
      return { items: items.map(versionOf), nextCursor }
    },
  })

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/workflows/:name/versions/:version',
    tag,
    summary: 'A version with its definition',
    answers: { 200: WorkflowVersionDetail },
    async find({ caller, params }) {
      const number = /^[1-9]\d{0,8}$/.test(params.version) ? Number(params.version) : undefined
      const version = number && (await getVersion(sql, caller.namespace, params.name, number))
      if (!version) throw problem('BTN_WORKFLOW_NOT_FOUND', `no version ${params.version} of workflow ${params.name}`)
      return version
    },
    handle: ({ found }) => ({ ...versionOf(found), definition: found.definition }),
  })
}
