/** Saving and checking definitions: the routes whose body is a text in JSON or YAML. */
import { Definition, NAME, Validation, WorkflowSaved } from '@baton/contracts'
import { type CompileOptions, compile, DefinitionSyntaxError } from '@baton/engine'
import { putWorkflow } from '@baton/store'
import type { FastifyInstance } from 'fastify'
import type { Deps } from '../app.ts'
import { DEFINITION_TYPES, type DefinitionText, malformedAt, readDefinition, takeDefinitionTexts } from '../definition-bodies.ts'
import { definitionLimitsOf } from '../draft-runs.ts'
import { invalidDefinition } from '../invalid-definition.ts'
import { addRoute } from '../route.ts'
import { isStorable, UNSTORABLE } from '../storable.ts'

type Limits = NonNullable<CompileOptions['limits']>

/** PUT /workflows/{name} and POST /workflows/validate. */
export function definitionRoutes(parent: FastifyInstance, { sql, settings }: Deps): void {
  const limits = definitionLimitsOf(settings)
  const shared = {
    tag: 'workflows',
    rawBody: { contentTypes: DEFINITION_TYPES, schema: Definition },
    bodyLimit: settings.BATON_DEFINITION_BYTES_MAX,
    limitName: 'BATON_DEFINITION_BYTES_MAX',
  }

  parent.register(async (app) => {
    takeDefinitionTexts(app)

    addRoute(app, {
      ...shared,
      method: 'PUT',
      url: '/api/v1/workflows/:name',
      summary: 'Save a definition as the next version',
      description: 'Equal to the highest version: 200 with that one. Saving revives an archived name.',
      answers: { 200: WorkflowSaved, 201: WorkflowSaved },
      problems: [400, 413, 415],
      async handle({ caller, params: { name }, request, reply }) {
        const { warnings, ...definition } = readWorkflow(name, request.body as DefinitionText | undefined, limits)
        const saved = await putWorkflow(sql, { namespace: caller.namespace, name, createdBy: caller.id, ...definition })
        reply.code(saved.created ? 201 : 200)
        return { name, version: saved.version, checksum: definition.checksum, warnings }
      },
    })

    addRoute(app, {
      ...shared,
      method: 'POST',
      url: '/api/v1/workflows/validate',
      summary: 'Check a definition; nothing is saved',
      answers: { 200: Validation },
      problems: [413, 415],
      handle: ({ request }) => validate(request.body as DefinitionText | undefined, limits),
    })
  })
}

/** The definition of a workflow as it is saved. Throws 400, 413 or 422. */
function readWorkflow(name: string, body: DefinitionText | undefined, limits: Limits) {
  const { value, locate } = parse(body)
  const { plan, errors, warnings } = compile(value, { name, locate, limits })
  if (!NAME.test(name)) errors.unshift({ pointer: '/name', message: `must match ${NAME.source}` })
  const description = (value as { description?: string } | null)?.description ?? null
  if (typeof description === 'string' && !isStorable(description)) errors.push({ pointer: '/description', message: UNSTORABLE })
  if (!plan || errors.length > 0) throw invalidDefinition(errors)
  return { definition: value, checksum: plan.checksum, description, warnings }
}

function validate(body: DefinitionText | undefined, limits: Limits) {
  try {
    const { value, locate } = readDefinition(body)
    const { errors, warnings, graph } = compile(value, { locate, limits })
    return { valid: errors.length === 0, errors, warnings, graph }
  } catch (error) {
    if (!(error instanceof DefinitionSyntaxError)) throw error
    const { message, line, column } = error
    return { valid: false, errors: [{ pointer: '', message, line, column, code: 'BTN_MALFORMED_BODY' }], warnings: [], graph: null }
  }
}

function parse(body: DefinitionText | undefined): ReturnType<typeof readDefinition> {
  try {
    return readDefinition(body)
  } catch (error) {
    throw error instanceof DefinitionSyntaxError ? malformedAt(error) : error
  }
}
