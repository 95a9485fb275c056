/** Variables: plain values that expressions read as `vars.<NAME>`. */
import { listOf, VarInfo } from '@baton/contracts'
import { problem } from '@baton/runtime'
import { deleteVar, getVar, listVars, putVar, type Sql, type VarRow } from '@baton/store'
import type { FastifyInstance } from 'fastify'
import type { Deps } from '../app.ts'
import { PageQuery, VariableBody } from '../bodies.ts'
import type { Caller } from '../caller.ts'
import { timeOf } from '../public-shapes.ts'
import { isDeeperThan } from '../read-input.ts'
import { addRoute, invalidRequest } from '../route.ts'
import { checkVariableName } from './secrets.ts'

const tag = 'vars'

function findVar(sql: Sql) {
  return async ({ caller, params }: { caller: Caller; params: { name: string } }) => {
    const found = await getVar(sql, caller.namespace, params.name)
    if (!found) throw problem('BTN_VAR_NOT_FOUND', `no variable ${params.name.slice(0, 100)}`)
    return found
  }
}

/** Reading variables. */
export function varRoutes(app: FastifyInstance, { sql }: Deps): void {
  const find = findVar(sql)

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/vars',
    tag,
    summary: 'List variables, last changed first',
    query: PageQuery,
    answers: { 200: listOf(VarInfo) },
    async handle({ caller, query }) {
      const { items, nextCursor } = await listVars(sql, caller.namespace, query)
      return { items: items.map(varOf), nextCursor }
    },
  })

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/vars/:name',
    tag,
    summary: 'A variable',
    answers: { 200: VarInfo },
    find,
    handle: ({ found }) => varOf(found),
  })
}

/** Setting and deleting variables. */
export function varChangeRoutes(app: FastifyInstance, { sql, settings }: Deps): void {
  const find = findVar(sql)

  addRoute(app, {
    method: 'PUT',
    url: '/api/v1/vars/:name',
    tag,
    summary: 'Set a variable; steps that are scheduled from now on read it',
    body: VariableBody,
    answers: { 200: VarInfo, 201: VarInfo },
    problems: [400, 413, 415],
    async handle({ caller, params, body, reply }) {
      checkVariableName(params.name)
      const depthMax = settings.BATON_JSON_DEPTH_MAX
      if (isDeeperThan(body.value, depthMax)) {
        throw invalidRequest([{ pointer: '/value', message: `is nested deeper than ${depthMax} levels` }])
      }
      const saved = await putVar(sql, caller.namespace, params.name, body.value)
      reply.code(saved.created ? 201 : 200)
      return varOf(saved)
    },
  })

  addRoute(app, {
    method: 'DELETE',
    url: '/api/v1/vars/:name',
    tag,
    summary: 'Delete a variable',
    answers: { 204: null },
    find,
    async handle({ caller, found, reply }) {
      await deleteVar(sql, caller.namespace, found.name)
      return reply.code(204).send()
    },
  })
}

function varOf(row: VarRow): VarInfo {
  return { name: row.name, value: row.value, updatedAt: timeOf(row.updatedAt) }
}
