/** JSON Schemas (2020-12) for editors and for clients in other languages. */
import { z } from 'zod'
import { NAME } from '../src/api.ts'
import { ApprovalBody, Definition, Duration, HttpBody, KIND_BODIES, Retry, STEP_ID, StepShape, Steps } from '../src/definition.ts'
import { CloudEvent } from '../src/events.ts'
import { Json } from '../src/json.ts'
import { STEP_KINDS } from '../src/states.ts'

type JsonSchema = Record<string, unknown>

/** Names under which schemas that are used more than once stand in `$defs`. */
function namedSchemas() {
  const names = z.registry<{ id: string }>()
  names.add(Json, { id: 'json' })
  names.add(Duration, { id: 'duration' })
  names.add(Retry, { id: 'retry' })
  names.add(HttpBody, { id: 'http' })
  names.add(ApprovalBody, { id: 'approval' })
  names.add(KIND_BODIES.agent, { id: 'agent' })
  names.add(Steps, { id: 'steps' })
  names.add(StepShape, { id: 'step' })
  return names
}

/** Schema of a definition, as users write it: what has a default may be left out. */
export function workflowSchema(): JsonSchema {
  const schema = z.toJSONSchema(Definition, {
    io: 'input',
    metadata: namedSchemas(),
    override({ zodSchema, jsonSchema }) {
      describe(zodSchema, jsonSchema as JsonSchema)
      narrow(jsonSchema as JsonSchema)
    },
  }) as JsonSchema
  const properties = schema.properties as Record<string, JsonSchema>
  properties.name = { type: 'string', pattern: NAME.source }
  return { $id: 'urn:baton:schema:workflow', title: 'Baton workflow', ...schema }
}

/** Schema of an event, as REST, WebSocket and SSE show it. */
export function eventSchema(): JsonSchema {
  return { $id: 'urn:baton:schema:event', title: 'Baton event', ...z.toJSONSchema(CloudEvent) }
}

/** Descriptions stand in zod's own registry, the names in ours. */
function describe(schema: z.core.$ZodType, jsonSchema: JsonSchema): void {
  const description = z.globalRegistry.get(schema)?.description
  if (description !== undefined) jsonSchema.description = description
}

/** Says what the engine checks beyond the shapes, where JSON Schema can: one kind a step, and the grammar of step ids. */
function narrow(schema: JsonSchema): void {
  delete schema.id // the registry's name; `$defs` has it as key
  const properties = schema.properties as Record<string, JsonSchema> | undefined
  if (properties && STEP_KINDS.every((kind) => kind in properties)) {
    schema.oneOf = STEP_KINDS.map((kind) => ({ required: [kind] }))
    if (properties.id) properties.id = { type: 'string', pattern: STEP_ID.source }
  }
  const values = schema.additionalProperties as JsonSchema | undefined
  if (values?.$ref === '#/$defs/step') schema.propertyNames = { type: 'string', pattern: STEP_ID.source }
}
