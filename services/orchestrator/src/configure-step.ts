/** `config` of a replay: a JSON Merge Patch (RFC 7396) of the body of one step's kind, for one run. */
import type { Json, PatchOperation } from '@baton/contracts'
import { applyPatch, mergePatch, pointerOfStep, refoldUnder } from '@baton/engine'
import { problem } from '@baton/runtime'
import { type DefinitionLimits, type JudgedPatch, readPatched } from './patch-definition.ts'
import { invalidRequest } from './route.ts'
import type { WholeRun } from './whole-runs.ts'

export type ConfigPatch = Record<string, Json>

/** The run under the definition that the config makes; undefined when it changes nothing. 422 when it cannot be. */
export function configurePatch(run: WholeRun, path: string, config: ConfigPatch, limits: DefinitionLimits): JudgedPatch | undefined {
  const { state, events, row, compiled } = run
  const step = state.steps.get(path)
  if (!step) throw problem('BTN_STEP_NOT_FOUND', `the run has no step ${path}`)
  const pointer = `${pointerOfStep(compiled.definition, step)}/${step.step.kind}`
  const body = pointer.split('/').slice(1).reduce<Json | undefined>(childOf, compiled.definition)
  const patch: PatchOperation[] = [{ op: 'replace', path: pointer, value: mergePatch(body, config) }]
  const definition = applyPatch(compiled.definition, patch)
  const { plan, errors } = readPatched(definition, row.workflow, limits)
  if (errors.length > 0) {
    const placed = errors.map(({ pointer: at, message }) => ({
      pointer: at.startsWith(pointer) ? `/config${at.slice(pointer.length)}` : '/config',
      message,
    }))
    throw invalidRequest(placed)
  }
  if (plan!.checksum === row.checksum) return undefined
  const after = refoldUnder(plan!, state, events)
  if (!after) throw invalidRequest([{ pointer: '/config', message: `it changes what has run inside step ${path}` }])
  return { row, state: after, definition, checksum: plan!.checksum, patch }
}

function childOf(value: Json | undefined, key: string): Json | undefined {
  const name = key.replaceAll('~1', '/').replaceAll('~0', '~')
  return typeof value === 'object' && value !== null ? (value as Record<string, Json>)[name] : undefined
}
