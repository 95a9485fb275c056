/** What is asked of schedules and triggers alike when they are saved. */
import { type Json, NAME, type ProblemError } from '@baton/contracts'
import { ExpressionError } from '@baton/engine'
import { ProblemException, problem } from '@baton/runtime'
import { isDeeperThan } from './read-input.ts'
import { invalidRequest } from './route.ts'
import { isStorable, UNSTORABLE } from './storable.ts'

export interface TriggerContent {
  version?: number | undefined
  tag?: string | undefined
  labels?: Record<string, string> | undefined
  input?: Json | undefined
}

/** Throws 422 with all that is wrong with the name and with what both kinds have. */
export function refuseContent(name: string, { version, tag, labels = {}, input }: TriggerContent, depthMax: number): void {
  const errors: ProblemError[] = []
  if (!NAME.test(name)) errors.push({ pointer: '/path/name', message: `must match ${NAME.source}` })
  if (version !== undefined && tag !== undefined) errors.push({ pointer: '/tag', message: 'name a version or a tag, not both' })
  if (!Object.entries(labels).every(([key, value]) => isStorable(key) && isStorable(value)))
    errors.push({ pointer: '/labels', message: UNSTORABLE })
  if (isDeeperThan(input, depthMax)) errors.push({ pointer: '/input', message: `is nested deeper than ${depthMax} levels` })
  if (errors.length > 0) throw invalidRequest(errors)
}

/** A run was drafted to see whether it can be: what it threw, as an answer to who saves the trigger. */
export function explainDraft(error: unknown, { version, tag }: TriggerContent): unknown {
  if (error instanceof ExpressionError)
    return problem('BTN_MAPPING', error.message, { errors: [{ pointer: '/input', message: error.message }] })
  if (!(error instanceof ProblemException) || error.code !== 'BTN_WORKFLOW_NOT_FOUND') return error
  const pointer = version !== undefined ? '/version' : tag !== undefined ? '/tag' : '/workflow'
  return invalidRequest([{ pointer, message: error.message }])
}
