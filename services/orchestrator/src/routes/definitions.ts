/** Saving and checking definitions: the routes whose body is a text in JSON or YAML. */
import { Definition, NAME, Validation, WorkflowSaved } from '@baton/contracts'
import { type Compiled, compile, DefinitionSyntaxError, type Finding } from '@baton/engine'
import { problem } from '@baton/runtime'
import { putWorkflow } from '@baton/store'
import type { FastifyInstance } from 'fastify'
import type { Deps } from '../app.ts'
import { DEFINITION_TYPES, type DefinitionText, malformedAt, readDefinition, takeDefinitionTexts } from '../definition-bodies.ts'
import { addRoute } from '../route.ts'

const rawBody = { contentTypes: DEFINITION_TYPES, schema: Definition }

/** PUT /workflows/{name} and POST /workflows/validate. */
export function definitionRoutes(parent: FastifyInstance, { sql, settings }: Deps): void {
  const limits = {
    definitionBytesMax: settings.BATON_DEFINITION_BYTES_MAX,
    stepsMax: settings.BATON_STEPS_MAX,
    nestingMax: settings.BATON_NESTING_MAX,
  }
  const bodyLimit = settings.BATON_DEFINITION_BYTES_MAX
  const limitName = 'BATON_DEFINITION_BYTES_MAX'

  parent.register(async (app) => {
    takeDefinitionTexts(app)

    addRoute(app, {
      method: 'PUT',
      url: '/api/v1/workflows/:name',
      tag: 'workflows',
      summary: 'Save a definition as the next version',
      description: 'Equal to the highest version: 200 with that one. Saving revives an archived name.',
      rawBody,
      answers: { 200: WorkflowSaved, 201: WorkflowSaved },
      problems: [400, 413, 415],
      bodyLimit,
      limitName,
      async handle({ caller, params, request, reply }) {
        const { value, locate } = parse(request.body as DefinitionText | undefined)
        const compiled = compile(value, { name: params.name, locate, limits })
        if (!NAME.test(params.name)) compiled.errors.unshift({ pointer: '/name', message: `must match ${NAME.source}` })
        refuse(compiled)
        const { checksum } = compiled.plan!
        const description = (value as { description?: string }).description ?? null
        const saved = await putWorkflow(sql, {
          namespace: caller.namespace,
          name: params.name,
          description,
          checksum,
          definition: value,
          createdBy: caller.id,
        })
        reply.code(saved.created ? 201 : 200)
        return { name: params.name, version: saved.version, checksum, warnings: compiled.warnings }
      },
    })

    addRoute(app, {
      method: 'POST',
      url: '/api/v1/workflows/validate',
      tag: 'workflows',
      summary: 'Check a definition; nothing is saved',
      rawBody,
      answers: { 200: Validation },
      problems: [413, 415],
      bodyLimit,
      limitName,
      async handle({ request }) {
        try {
          const { value, locate } = readDefinition(request.body as DefinitionText | undefined)
          const { errors, warnings, graph } = compile(value, { locate, limits })
          return { valid: errors.length === 0, errors, warnings, graph }
        } catch (error) {
          if (!(error instanceof DefinitionSyntaxError)) throw error
          const { message, line, column } = error
          return { valid: false, errors: [{ pointer: '', message, line, column, code: 'BTN_MALFORMED_BODY' }], warnings: [], graph: null }
        }
      },
    })
  })
}

function parse(body: DefinitionText | undefined): ReturnType<typeof readDefinition> {
  try {
    return readDefinition(body)
  } catch (error) {
    throw error instanceof DefinitionSyntaxError ? malformedAt(error) : error
  }
}

/** Throws what a definition with errors is answered with. */
function refuse({ errors }: Compiled): void {
  const [first] = errors
  if (!first) return
  const tooLarge = errors.find((error) => error.code === 'BTN_TOO_LARGE')
  if (tooLarge) throw problem('BTN_TOO_LARGE', `${tooLarge.message} (BATON_DEFINITION_BYTES_MAX)`)
  const code = errors.every((error) => error.code === 'BTN_UNSUPPORTED') ? 'BTN_UNSUPPORTED' : 'BTN_INVALID_DEFINITION'
  throw problem(code, explain(first), { errors })
}

function explain({ pointer, message, line, column }: Finding): string {
  const place = line === undefined ? '' : ` (line ${line}, column ${column})`
  return `${pointer || 'the definition'}: ${message}${place}`
}
