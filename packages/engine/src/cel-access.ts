/**
 * Fields and indexes: `a.b`, `a["b"]`, `a[0]`, and `a.?b`. Selecting from null is like a missing field. Only own properties of JSON objects
 * can be read. Also the roots: `steps.<id>`, `vars.<NAME>`, `run`, `now` and the rest.
 */
import { type Ast, type CelNode, type Compiling, type Frame, fail } from './cel-node.ts'
import { aType, CelOptional, keyOf, NONE, timestampOf, typeOf } from './cel-values.ts'
import { ExpressionError } from './expression-error.ts'

const MISSING = Symbol('missing')
const STEP_FIELDS = ['output', 'status', 'error'] as const
type StepField = (typeof STEP_FIELDS)[number]
const RUN_FIELDS = ['id', 'startedAt']
const WORKFLOW_FIELDS = ['name', 'version']

/** The field or item, or MISSING. Throws when the value has no fields at all. */
function lookUp(value: unknown, key: unknown): unknown {
  if (value === null || value === undefined) return MISSING
  if (Array.isArray(value)) {
    const index = typeof key === 'bigint' ? Number(key) : key
    if (typeof index !== 'number' || !Number.isInteger(index)) throw new ExpressionError(`a list has no field ${describe(key)}`)
    return index >= 0 && index < value.length ? (value[index] ?? null) : MISSING
  }
  if (typeOf(value) !== 'map') throw new ExpressionError(`${aType(typeOf(value))} has no field ${describe(key)}`)
  const name = keyOf(key)
  if (name === undefined) throw new ExpressionError(`${aType(typeOf(key))} cannot be a key`)
  if (!Object.hasOwn(value as object, name)) return MISSING
  const field = (value as Record<string, unknown>)[name]
  return field === undefined ? MISSING : field
}

function describe(key: unknown): string {
  return typeof key === 'string' ? key.slice(0, 100) : String(keyOf(key) ?? typeOf(key))
}

function missing(value: unknown, key: unknown): ExpressionError {
  if (Array.isArray(value)) return new ExpressionError(`index ${describe(key)} is outside the list of ${value.length}`)
  return new ExpressionError(value === null ? `no such field: ${describe(key)} (of null)` : `no such field: ${describe(key)}`)
}

/** `value.key`; on an optional the result is an optional. */
function select(value: unknown, key: unknown): unknown {
  if (value instanceof CelOptional) return selectOptional(value, key)
  const found = lookUp(value, key)
  if (found === MISSING) throw missing(value, key)
  return found
}

/** `value.?key`: absent for whatever has no such field. */
function selectOptional(value: unknown, key: unknown): CelOptional {
  if (value instanceof CelOptional) return value.present ? selectOptional(value.value, key) : NONE
  const type = typeOf(value)
  if (type !== 'map' && type !== 'list') return NONE
  if (type === 'list' && typeof key !== 'bigint' && typeof key !== 'number') return NONE
  const found = lookUp(value, key)
  return found === MISSING ? NONE : new CelOptional(true, found)
}

function hasField(value: unknown, key: unknown): boolean {
  return value instanceof CelOptional ? selectOptional(value, key).present : lookUp(value, key) !== MISSING
}

/** The key of an access when it is written out. */
function literalKey(ast: Ast): unknown {
  const [, key] = ast.args as [Ast, string | Ast]
  if (typeof key === 'string') return key
  return key.op === 'value' ? key.args : undefined
}

function isRoot(ast: Ast, name: string, scope: Compiling): boolean {
  return ast.op === 'id' && ast.args === name && !scope.locals.has(name)
}

/** Compiles `.`, `.?`, `[]` and `[?]`. */
export function compileAccess(ast: Ast, scope: Compiling): CelNode {
  const [target] = ast.args as [Ast, string | Ast]
  const optional = ast.op.includes('?')
  const key = literalKey(ast)
  if (isRoot(target, 'steps', scope)) return stepNode(ast, key, optional, scope)
  if (isRoot(target, 'secrets', scope)) return secretNode(ast, key, scope)
  if (isRoot(target, 'vars', scope)) noteVariable(ast, key, scope)
  if (isRoot(target, 'run', scope)) checkField(ast, 'run', key, RUN_FIELDS)
  if (isRoot(target, 'workflow', scope)) checkField(ast, 'workflow', key, WORKFLOW_FIELDS)
  const base = scope.compile(target, scope)
  if (base.step !== undefined && !optional) return stepField(ast, base.step, key, scope)
  return accessNode(ast, base, key, optional, scope)
}

function accessNode(ast: Ast, base: CelNode, key: unknown, optional: boolean, scope: Compiling): CelNode {
  const scalar = base.type !== 'dyn' && base.type !== 'map' && base.type !== 'list' && base.type !== 'optional' && base.type !== 'null'
  if (scalar && !optional) fail(ast, `${aType(base.type)} has no fields`)
  const pick = optional ? selectOptional : select
  const type = optional || base.type === 'optional' ? 'optional' : 'dyn'
  if (key !== undefined)
    return { run: (frame) => pick(base.run(frame), key), type, cost: base.cost + 1, json: type === 'dyn' && base.json === true }
  const index = scope.compile((ast.args as [Ast, Ast])[1], scope)
  return {
    run: (frame) => pick(base.run(frame), index.run(frame)),
    type,
    cost: base.cost + index.cost + 1,
    json: type === 'dyn' && base.json === true,
  }
}

function checkField(ast: Ast, root: string, key: unknown, fields: readonly string[]): void {
  if (typeof key === 'string' && !fields.includes(key)) fail(ast, `${root} has no field ${key}; it has ${fields.join(' and ')}`)
}

function noteVariable(ast: Ast, key: unknown, scope: Compiling): void {
  if (typeof key !== 'string') fail(ast, 'write the name of the variable out: vars.NAME or vars["NAME"]')
  scope.found.vars.add(key)
}

function secretNode(ast: Ast, key: unknown, scope: Compiling): CelNode {
  if (typeof key !== 'string') fail(ast, 'write the name of the secret out: secrets.NAME or secrets["NAME"]')
  scope.found.secrets.add(key)
  // Never evaluated: secrets stand alone in a part of a text, or the definition is refused.
  return { run: () => fail(ast, 'secrets cannot be computed with'), type: 'string', cost: 1 }
}

function stepNode(ast: Ast, key: unknown, optional: boolean, scope: Compiling): CelNode {
  if (typeof key !== 'string') fail(ast, 'write the id of the step out: steps.<id> or steps["<id>"]')
  scope.found.steps.add(key)
  const whole = (frame: Frame) => {
    const { output, status, error } = frame.env.step(key)
    return { output, status, error }
  }
  if (optional) return { run: (frame) => new CelOptional(true, whole(frame)), type: 'optional', cost: 2 }
  return { run: whole, type: 'map', cost: 2, json: true, step: key }
}

/** `steps.a.output` reads no more of the step than it needs: an output may have to be loaded. */
function stepField(ast: Ast, step: string, key: unknown, scope: Compiling): CelNode {
  if (!STEP_FIELDS.includes(key as StepField))
    fail(ast, `steps.${step} has output, status and error; read its output as steps.${step}.output`)
  const field = key as StepField
  const read = once(scope, `steps.${step}.${field}`, (frame) => frame.env.step(step)[field])
  return { run: read, type: field === 'status' ? 'string' : 'dyn', cost: 2, json: true }
}

/** Inside a comprehension a root is read in the first round that needs it. */
function once(scope: Compiling, name: string, read: (frame: Frame) => unknown): (frame: Frame) => unknown {
  if (scope.locals.size === 0) return read
  return (frame) => {
    frame.roots ??= new Map()
    if (frame.roots.has(name)) return frame.roots.get(name)
    const value = read(frame)
    frame.roots.set(name, value)
    return value
  }
}

/** Compiles an identifier that is not a variable of a comprehension. */
export function compileRoot(ast: Ast, name: string, scope: Compiling): CelNode {
  if (name === 'steps') fail(ast, 'steps stands only before a step: steps.<id>')
  if (name === 'secrets') fail(ast, 'secrets stands only before a name: secrets.NAME')
  scope.found.variables.add(name)
  if (name === 'now') return { run: once(scope, name, readNow), type: 'timestamp', cost: 1 }
  if (name === 'run') return { run: once(scope, name, readRun), type: 'map', cost: 1 }
  return { run: once(scope, name, (frame) => readVariable(frame, name)), type: 'dyn', cost: 1, json: true }
}

function readVariable(frame: Frame, name: string): unknown {
  const value = frame.env.variable(name)
  if (value === undefined) throw new ExpressionError(`${name} is not known here`)
  return value
}

function readNow(frame: Frame): Date {
  const now = timestampOf(readVariable(frame, 'now'))
  if (!now) throw new ExpressionError('now is not known here')
  return now
}

function readRun(frame: Frame): unknown {
  const run = readVariable(frame, 'run') as Record<string, unknown>
  return { ...run, startedAt: timestampOf(run.startedAt) ?? null }
}

/** Compiles `has(a.b)`. */
export function compileHas(ast: Ast, argument: Ast, scope: Compiling): CelNode {
  const literal = argument.op === '[]' && typeof literalKey(argument) === 'string'
  if (argument.op !== '.' && argument.op !== '.?' && !literal) fail(ast, 'has() takes a field: has(a.b)')
  const [target] = argument.args as [Ast, unknown]
  const key = literalKey(argument)
  if (isRoot(target, 'steps', scope) || isRoot(target, 'run', scope) || isRoot(target, 'workflow', scope)) {
    const whole = compileAccess(argument, scope)
    return { run: () => true, type: 'bool', cost: whole.cost }
  }
  if (isRoot(target, 'secrets', scope)) fail(ast, 'secrets cannot be asked for in has()')
  if (isRoot(target, 'vars', scope)) noteVariable(argument, key, scope)
  const base = scope.compile(target, scope)
  if (base.step !== undefined) return { ...stepField(argument, base.step, key, scope), run: () => true, type: 'bool', json: false }
  return { run: (frame) => hasField(base.run(frame), key), type: 'bool', cost: base.cost + 1 }
}
