/**
 * Compiles the parser's tree to closures. Our own evaluation, not the library's: it counts its work, reads nothing but own properties,
 * computes across int and double, and treats null as CONTRACT §2 says.
 */
import { compileAccess, compileHas, compileRoot } from './cel-access.ts'
import { FUNCTIONS, METHODS, NAMESPACED, NAMESPACES, TYPE_VALUES } from './cel-functions.ts'
import { compileBind, compileMacro, isDataError, isMacro } from './cel-macros.ts'
import { type Ast, type CelFunction, type CelNode, type Compiling, type Found, type Frame, fail } from './cel-node.ts'
import { negate, OPERATORS, typeOfBinary } from './cel-operators.ts'
import { aType, CelOptional, type CelType, keyOf, put, typeOf } from './cel-values.ts'
import { ExpressionError } from './expression-error.ts'

/** Compiles a whole expression. Throws ExpressionSyntaxError when it can never work. */
export function compileAst(ast: Ast): { node: CelNode; found: Found } {
  const found: Found = { steps: new Set(), variables: new Set(), vars: new Set(), secrets: new Set(), slots: 0 }
  const node = compileNode(ast, { locals: new Map(), found, compile: compileNode })
  return { node, found }
}

function compileNode(ast: Ast, scope: Compiling): CelNode {
  switch (ast.op) {
    case 'value':
      return compileLiteral(ast)
    case 'id':
      return compileId(ast, scope)
    case '.':
    case '.?':
    case '[]':
    case '[?]':
      return compileAccess(ast, scope)
    case 'call':
      return compileCall(ast, scope)
    case 'rcall':
      return compileMethod(ast, scope)
    case 'list':
      return compileList(ast, scope)
    case 'map':
      return compileMap(ast, scope)
    case '?:':
      return compileTernary(ast, scope)
    case '||':
    case '&&':
      return compileLogical(ast, scope)
    case '!_':
    case '-_':
      return compileUnary(ast, scope)
    default:
      return compileBinary(ast, scope)
  }
}

function constant(value: unknown): CelNode {
  return { run: () => value, type: typeOf(value), cost: 1 }
}

function compileLiteral(ast: Ast): CelNode {
  const value = ast.args
  // `1u`: unsigned integers count as ints.
  const unsigned = typeof value === 'object' && value !== null && !(value instanceof Uint8Array)
  const literal = unsigned ? BigInt(String(value)) : value
  if (typeof literal === 'bigint' && literal > 9_223_372_036_854_775_807n) fail(ast, 'integer overflow')
  return constant(literal)
}

function compileId(ast: Ast, scope: Compiling): CelNode {
  const name = ast.args as string
  const slot = scope.locals.get(name)
  if (slot !== undefined) return { run: (frame) => frame.locals[slot], type: 'dyn', cost: 1 }
  const type = TYPE_VALUES.get(name)
  return type ? constant(type) : compileRoot(ast, name, scope)
}

function totalCost(nodes: readonly CelNode[]): number {
  return nodes.reduce((sum, node) => sum + node.cost, 1)
}

function callNode(ast: Ast, name: string, fn: CelFunction, receiver: CelNode[], args: CelNode[]): CelNode {
  if (!fn.takes.includes(args.length)) fail(ast, `${name}() does not take ${args.length} argument${args.length === 1 ? '' : 's'}`)
  const all = [...receiver, ...args]
  const cost = totalCost(all)
  const { call } = fn
  if (all.length === 1) return { run: (frame) => call([all[0]!.run(frame)], frame), type: fn.gives, cost }
  return {
    run: (frame) =>
      call(
        all.map((node) => node.run(frame)),
        frame,
      ),
    type: fn.gives,
    cost,
  }
}

function compileAll(asts: readonly Ast[], scope: Compiling): CelNode[] {
  return asts.map((ast) => compileNode(ast, scope))
}

function compileCall(ast: Ast, scope: Compiling): CelNode {
  const [name, args] = ast.args as [string, Ast[]]
  if (name === 'has') {
    if (args.length !== 1) fail(ast, 'has() takes one field: has(a.b)')
    return compileHas(ast, args[0]!, scope)
  }
  if (!Object.hasOwn(FUNCTIONS, name)) fail(ast, `unknown function ${name}()`)
  return callNode(ast, name, FUNCTIONS[name]!, [], compileAll(args, scope))
}

function compileMethod(ast: Ast, scope: Compiling): CelNode {
  const [name, receiver, args] = ast.args as [string, Ast, Ast[]]
  if (receiver.op === 'id' && !scope.locals.has(receiver.args as string)) {
    const full = `${receiver.args}.${name}`
    if (full === 'cel.bind' && args.length === 3) return compileBind(args, scope)
    if (Object.hasOwn(NAMESPACED, full)) return callNode(ast, full, NAMESPACED[full]!, [], compileAll(args, scope))
    if (receiver.args === 'cel' || NAMESPACES.has(receiver.args as string)) fail(ast, `unknown function ${full}()`)
  }
  if (isMacro(name, args)) return compileMacro(ast, name, receiver, args, scope)
  if (name === 'orValue' || name === 'or') return compileOr(ast, name, receiver, args, scope)
  if (!Object.hasOwn(METHODS, name)) fail(ast, `unknown function ${name}()`)
  return callNode(ast, name, METHODS[name]!, [compileNode(receiver, scope)], compileAll(args, scope))
}

/** `a.?b.orValue(x)` and `a.?b.or(c.?d)`: the alternative is evaluated only when it is needed. */
function compileOr(ast: Ast, name: 'or' | 'orValue', receiver: Ast, args: readonly Ast[], scope: Compiling): CelNode {
  if (args.length !== 1) fail(ast, `${name}() takes one argument`)
  const optional = compileNode(receiver, scope)
  const other = compileNode(args[0]!, scope)
  if (optional.type !== 'optional' && optional.type !== 'dyn') fail(ast, `${name}() stands after an optional: a.?b.${name}(…)`)
  if (name === 'or' && other.type !== 'optional' && other.type !== 'dyn') fail(ast, 'or() takes an optional')
  return {
    run(frame) {
      const value = optionalOf(optional.run(frame), name)
      if (value.present) return name === 'or' ? value : value.value
      return name === 'or' ? optionalOf(other.run(frame), 'or') : other.run(frame)
    },
    type: name === 'or' ? 'optional' : 'dyn',
    cost: optional.cost + other.cost + 1,
  }
}

function optionalOf(value: unknown, name: string): CelOptional {
  if (value instanceof CelOptional) return value
  throw new ExpressionError(`${name}() stands after an optional, not ${aType(typeOf(value))}`)
}

function compileList(ast: Ast, scope: Compiling): CelNode {
  const items = compileAll(ast.args as Ast[], scope)
  return { run: (frame) => items.map((item) => item.run(frame)), type: 'list', cost: totalCost(items) }
}

function compileMap(ast: Ast, scope: Compiling): CelNode {
  const entries = (ast.args as [Ast, Ast][]).map(([key, value]) => [compileKey(key, scope), compileNode(value, scope)] as const)
  return {
    run(frame) {
      const map: Record<string, unknown> = {}
      for (const [key, value] of entries) setEntry(map, key.run(frame), value.run(frame))
      return map
    },
    type: 'map',
    cost: totalCost(entries.flat()),
  }
}

function compileKey(ast: Ast, scope: Compiling): CelNode {
  const key = compileNode(ast, scope)
  if (!['dyn', 'string', 'int', 'double', 'bool'].includes(key.type)) fail(ast, `${aType(key.type)} cannot be a key`)
  return key
}

function setEntry(map: Record<string, unknown>, key: unknown, value: unknown): void {
  const name = keyOf(key)
  if (name === undefined) throw new ExpressionError(`${aType(typeOf(key))} cannot be a key`)
  if (Object.hasOwn(map, name)) throw new ExpressionError(`the key ${JSON.stringify(name.slice(0, 60))} stands twice`)
  put(map, name, value)
}

function checkBool(ast: Ast, node: CelNode, what: string): void {
  if (node.type !== 'bool' && node.type !== 'dyn') fail(ast, `${what} must be true or false, not ${aType(node.type)}`)
}

function compileTernary(ast: Ast, scope: Compiling): CelNode {
  const asts = ast.args as [Ast, Ast, Ast]
  const [condition, then, otherwise] = compileAll(asts, scope) as [CelNode, CelNode, CelNode]
  checkBool(asts[0], condition, 'the condition before ?')
  return {
    run(frame) {
      const test = condition.run(frame)
      if (typeof test !== 'boolean') throw new ExpressionError(`the condition before ? must be true or false, not ${aType(typeOf(test))}`)
      return test ? then.run(frame) : otherwise.run(frame)
    },
    type: then.type === otherwise.type ? then.type : 'dyn',
    cost: totalCost([condition, then, otherwise]),
  }
}

/** An operand that is a bool or an error, so that the other operand may decide. */
function attempt(node: CelNode, frame: Frame, operator: string): boolean | ExpressionError {
  try {
    const value = node.run(frame)
    return typeof value === 'boolean' ? value : new ExpressionError(`${operator} takes true or false, not ${aType(typeOf(value))}`)
  } catch (error) {
    if (isDataError(error)) return error
    throw error
  }
}

function compileLogical(ast: Ast, scope: Compiling): CelNode {
  const asts = ast.args as [Ast, Ast]
  const [left, right] = compileAll(asts, scope) as [CelNode, CelNode]
  checkBool(asts[0], left, `the left of ${ast.op}`)
  checkBool(asts[1], right, `the right of ${ast.op}`)
  const decides = ast.op === '||'
  return {
    run(frame) {
      const first = attempt(left, frame, ast.op)
      if (first === decides) return decides
      const second = attempt(right, frame, ast.op)
      if (second === decides) return decides
      if (first instanceof ExpressionError) throw first
      if (second instanceof ExpressionError) throw second
      return !decides
    },
    type: 'bool',
    cost: totalCost([left, right]),
  }
}

function compileUnary(ast: Ast, scope: Compiling): CelNode {
  const inner = ast.args as Ast
  // Folded before its operand compiles: the lowest int has no positive twin.
  if (ast.op === '-_' && inner.op === 'value' && typeof inner.args === 'bigint') return negativeInt(ast, inner.args)
  const operand = compileNode(ast.args as Ast, scope)
  const cost = operand.cost + 1
  if (ast.op === '!_') {
    checkBool(ast, operand, 'what stands after !')
    return { run: (frame) => not(operand.run(frame)), type: 'bool', cost }
  }
  const numeric: readonly CelType[] = ['dyn', 'int', 'double', 'duration']
  if (!numeric.includes(operand.type)) fail(ast, `no such operation: -${operand.type}`)
  return { run: (frame) => negate(operand.run(frame)), type: operand.type, cost }
}

function negativeInt(ast: Ast, value: bigint): CelNode {
  if (value > 9_223_372_036_854_775_808n) fail(ast, 'integer overflow')
  return constant(-value)
}

function not(value: unknown): boolean {
  if (typeof value === 'boolean') return !value
  throw new ExpressionError(`no such operation: !${typeOf(value)}`)
}

function compileBinary(ast: Ast, scope: Compiling): CelNode {
  const [left, right] = compileAll(ast.args as [Ast, Ast], scope) as [CelNode, CelNode]
  const operate = Object.hasOwn(OPERATORS, ast.op) ? OPERATORS[ast.op]! : fail(ast, `unknown operator ${ast.op}`)
  const type = typeOfBinary(ast.op, left.type, right.type)
  if (type === undefined) fail(ast, `no such operation: ${left.type} ${ast.op} ${right.type}`)
  return { run: (frame) => operate(left.run(frame), right.run(frame), frame), type, cost: left.cost + right.cost + 1 }
}
