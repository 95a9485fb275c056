/** Names under which shapes stand in `components.schemas` of the OpenAPI document. */
import * as contracts from '@baton/contracts'
import { z } from 'zod'

export const schemaRegistry = z.registry<{ id: string; description?: string }>()

const NAMED = {
  Run: contracts.Run,
  Step: contracts.Step,
  Graph: contracts.Graph,
  Why: contracts.Why,
  Event: contracts.CloudEvent,
  Approval: contracts.Approval,
  Task: contracts.Task,
  CustomEvent: contracts.CustomEvent,
  Schedule: contracts.Schedule,
  Trigger: contracts.Trigger,
  TriggerSaved: contracts.TriggerSaved,
  Error: contracts.BatonError,
  Problem: contracts.Problem,
  Json: contracts.Json,
  Definition: contracts.Definition,
  Steps: contracts.Steps,
  StepDefinition: contracts.StepShape,
}
for (const [id, schema] of Object.entries(NAMED)) schemaRegistry.add(schema, { id })
