/** What one compilation carries along: its findings, its limits, and where in the definition things stand. */
import type { ErrorCode, Feature, Json, LIMITS, ProblemError, StepKind } from '@baton/contracts'
import type { ParsedExpression } from './expressions.ts'
import type { Locate } from './parse-definition.ts'
import type { ChildRef, Scope } from './plan.ts'

/** An error or a warning at a place of a definition. */
export type Finding = ProblemError & { code?: ErrorCode }

export type Limits = { [K in keyof typeof LIMITS]: number }

/** More findings than anybody reads are not kept. */
export const FINDINGS_MAX = 500

export interface Compilation {
  errors: Finding[]
  warnings: Finding[]
  limits: Limits
  locate: Locate | undefined
  /** A definition that was saved before; a rule that came later must not take its runs away. */
  stored: boolean
  parse(source: string): ParsedExpression
  unsupported: ReadonlySet<Feature>
  stepCount: number
  usesVars: boolean
  /** What `workflow` steps start, by childKeyOf. */
  children: Map<string, ChildRef>
  /** Ids of all steps of the definition with the path of their container ('' at the top); made when a message needs it. */
  places: Map<string, string> | undefined
  definition: Json
  /** Compiles the steps inside a step: handed on, so that files import one way. */
  compileScope(c: Compilation, steps: Json | undefined, pointer: string, outer: OpenScope | undefined, variables: readonly string[]): Scope
}

/** The steps of one list or map, while they compile. */
export interface OpenScope {
  ids: ReadonlyMap<string, number>
  outer: OpenScope | undefined
  /** The step that is being compiled. */
  current: StepDraft | undefined
  /** Variables beside those that are known everywhere: `item`, `index`, `iteration`, `last` and `as:` names. */
  variables: ReadonlySet<string>
  depth: number
}

/** A step on its way to a plan. */
export interface StepDraft {
  id: string
  kind: StepKind | undefined
  pointer: string
  /** Steps of the same scope that its expressions mention, by index. */
  mentions: Set<number>
  vars: Set<string>
  usesNow: boolean
}

/** Notes an error. `of: 'key'` puts its line and column at the key rather than the value. */
export function report(c: Compilation, pointer: string, message: string, options: { code?: ErrorCode; of?: 'key' } = {}): void {
  if (c.errors.length < FINDINGS_MAX) c.errors.push(finding(c, pointer, message, options))
}

/** Notes a warning. */
export function warn(c: Compilation, pointer: string, message: string): void {
  if (c.warnings.length < FINDINGS_MAX) c.warnings.push(finding(c, pointer, message, {}))
}

function finding(c: Compilation, pointer: string, message: string, options: { code?: ErrorCode; of?: 'key' }): Finding {
  const position = c.locate?.(pointer, options.of)
  return { pointer, message, ...position, ...(options.code ? { code: options.code } : {}) }
}

/** Notes that this version does not run a feature, if so. */
export function checkSupported(c: Compilation, feature: string, pointer: string): void {
  if (!(c.unsupported as ReadonlySet<string>).has(feature)) return
  report(c, pointer, `${feature} does not run in this version yet`, { code: 'BTN_UNSUPPORTED', of: 'key' })
}

/** True for JSON objects. */
export function isObject(value: unknown): value is Record<string, Json> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function typeName(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
