/**
 * A definition to its plan. All problems of a definition are found at once, each with a JSON Pointer and, when the text is known, line and
 * column. Layer by layer: the root here, then scopes, steps and kinds in the compile-*.ts files.
 */
import { Definition, type Feature, type Graph, type Json, LIMITS, NAME, parseDuration, UNSUPPORTED } from '@baton/contracts'
import { canonicalJson, checksumOfText, jsonBytes } from './checksum.ts'
import { type Compilation, checkSupported, type Finding, isObject, type Limits, report, typeName } from './compilation.ts'
import { compileScope } from './compile-scope.ts'
import { checkSchemaAt, checkShape } from './compile-shape.ts'
import { compileText, compileValue, type Place } from './compile-texts.ts'
import { createExpressionCache } from './expressions.ts'
import { graphOf } from './graph.ts'
import type { Locate } from './parse-definition.ts'
import type { Plan } from './plan.ts'

export interface CompileOptions {
  /** The name that the definition is saved under; a `name` inside must be equal. */
  name?: string
  /** Of parseDefinition: gives findings their line and column. */
  locate?: Locate
  limits?: Partial<Limits>
  /** It was saved before: what is refused only since then is let through. */
  stored?: boolean
  /** What to refuse although it compiles. */
  unsupported?: readonly Feature[]
}

export interface Compiled {
  /** Null when there are errors. */
  plan: Plan | null
  errors: Finding[]
  warnings: Finding[]
  /** Null when there are errors other than BTN_UNSUPPORTED. */
  graph: Graph | null
}

const RootShape = Definition.omit({ steps: true })

/** Compiles a definition. Never throws for what a definition may hold. */
export function compile(definition: Json, options: CompileOptions = {}): Compiled {
  const c = createCompilation(definition, options)
  const plan = compileRoot(c, definition, options)
  const usable = plan !== undefined && c.errors.every((error) => error.code === 'BTN_UNSUPPORTED')
  return {
    plan: plan && c.errors.length === 0 ? plan : null,
    errors: c.errors,
    warnings: c.warnings,
    graph: usable ? graphOf(plan) : null,
  }
}

function createCompilation(definition: Json, options: CompileOptions): Compilation {
  const limits: Limits = { ...LIMITS, ...options.limits }
  return {
    errors: [],
    warnings: [],
    limits,
    locate: options.locate,
    stored: options.stored ?? false,
    parse: createExpressionCache(limits.expressionWorkMax),
    unsupported: new Set(options.unsupported ?? UNSUPPORTED),
    stepCount: 0,
    usesVars: false,
    children: new Map(),
    places: undefined,
    definition,
    compileScope,
  }
}

function compileRoot(c: Compilation, definition: Json, options: CompileOptions): Plan | undefined {
  const { definitionBytesMax } = c.limits
  if (jsonBytes(definition, definitionBytesMax) > definitionBytesMax) {
    report(c, '', `the definition is larger than ${definitionBytesMax} bytes (BATON_DEFINITION_BYTES_MAX)`, { code: 'BTN_TOO_LARGE' })
    return undefined
  }
  if (!isObject(definition)) {
    report(c, '', `a definition must be an object, not ${typeName(definition)}`)
    return undefined
  }
  const { steps, ...rest } = definition
  const shape = checkShape(c, RootShape, rest, '') ?? {}
  const name = checkName(c, rest.name, options.name)
  checkSchemaAt(c, shape.input, '/input')
  const root = compileScope(c, steps, '/steps', undefined)
  const scope = { ids: root.byId, outer: undefined, current: undefined, variables: new Set<string>(), depth: 0 }
  const concurrency = shape.concurrency && compileConcurrency({ c, scope: undefined }, shape.concurrency)
  const output = shape.output === undefined ? undefined : compileValue({ c, scope }, rest.output!, '/output')
  return {
    checksum: checksumOfText(canonicalJson(definition)),
    name,
    ...(shape.input === undefined ? {} : { input: shape.input }),
    ...(shape.timeout === undefined ? {} : { timeoutMs: parseDuration(shape.timeout)! }),
    ...(concurrency ? { concurrency } : {}),
    root,
    ...(output ? { output } : {}),
    stepCount: c.stepCount,
    usesVars: c.usesVars,
    children: [...c.children.values()],
  }
}

function checkName(c: Compilation, written: Json | undefined, wanted: string | undefined): string {
  if (typeof written !== 'string') return wanted ?? ''
  if (!NAME.test(written)) report(c, '/name', `must match ${NAME.source}`)
  else if (wanted !== undefined && written !== wanted)
    report(c, '/name', `the name differs from ${wanted}, under which the definition is saved`)
  return wanted ?? written
}

function compileConcurrency(
  place: Place,
  written: NonNullable<ReturnType<typeof RootShape.parse>['concurrency']>,
): NonNullable<Plan['concurrency']> {
  checkSupported(place.c, 'concurrency', '/concurrency')
  return { key: compileText(place, written.key, '/concurrency/key'), limit: written.limit, onConflict: written.onConflict }
}
