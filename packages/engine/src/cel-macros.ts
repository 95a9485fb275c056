/** Comprehensions. Every round pays for what it evaluates, so nested ones pay the product of their lists. */
import { type Ast, type CelNode, type Compiling, type Frame, fail, withLocal } from './cel-node.ts'
import { aType, charge, isMap, typeOf } from './cel-values.ts'
import { ExpressionError } from './expression-error.ts'

type Round = (frame: Frame) => unknown

/** Work of an error that a quantifier swallows: making one costs more than a node. */
const ERROR_UNITS = 50

function itemsOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  if (isMap(value)) return Object.keys(value)
  throw new ExpressionError(`${aType(typeOf(value))} has no items`)
}

function asBool(value: unknown, what: string): boolean {
  if (typeof value === 'boolean') return value
  throw new ExpressionError(`${what} must be true or false, not ${aType(typeOf(value))}`)
}

/** True when an error may be outweighed by another operand: bad data, never a limit or what is not ours. */
export function isDataError(error: unknown): error is ExpressionError {
  return error instanceof ExpressionError && error.code === 'BTN_EXPRESSION'
}

/** Calls `round` for every item in turn, until it gives false. */
function eachItem(
  frame: Frame,
  items: readonly unknown[],
  slot: number,
  cost: number,
  round: (item: unknown) => boolean | undefined,
): void {
  for (const item of items) {
    charge(frame, 1 + cost)
    frame.locals[slot] = item
    if (round(item) === false) return
  }
}

/** `all` and `exists`: an error counts only when no other item decides. */
function quantify(frame: Frame, items: readonly unknown[], slot: number, body: CelNode, decides: boolean): boolean {
  let decided = false
  let error: ExpressionError | undefined
  eachItem(frame, items, slot, body.cost, () => {
    try {
      decided = asBool(body.run(frame), 'the condition') === decides
    } catch (caught) {
      if (!isDataError(caught)) throw caught
      charge(frame, ERROR_UNITS)
      error ??= caught
    }
    return !decided
  })
  if (!decided && error) throw error
  return decided ? decides : !decides
}

type Macro = (list: CelNode, slot: number, bodies: CelNode[]) => Pick<CelNode, 'run' | 'type'>

const filter: Macro = (list, slot, [condition]) => ({
  type: 'list',
  run(frame) {
    const kept: unknown[] = []
    eachItem(frame, itemsOf(list.run(frame)), slot, condition!.cost, (item) => {
      if (asBool(condition!.run(frame), 'the condition')) kept.push(item)
      return true
    })
    return kept
  },
})

const map: Macro = (list, slot, bodies) => {
  const transform = bodies.at(-1)!
  const condition = bodies.length === 2 ? bodies[0] : undefined
  const keep: Round = condition ? (frame) => asBool(condition.run(frame), 'the condition') : () => true
  const cost = transform.cost + (condition?.cost ?? 0)
  return {
    type: 'list',
    run(frame) {
      const made: unknown[] = []
      eachItem(frame, itemsOf(list.run(frame)), slot, cost, () => {
        if (keep(frame)) made.push(transform.run(frame))
        return true
      })
      return made
    },
  }
}

const quantifier =
  (decides: boolean): Macro =>
  (list, slot, [body]) => ({ type: 'bool', run: (frame) => quantify(frame, itemsOf(list.run(frame)), slot, body!, decides) })

const existsOne: Macro = (list, slot, [condition]) => ({
  type: 'bool',
  run(frame) {
    let count = 0
    eachItem(frame, itemsOf(list.run(frame)), slot, condition!.cost, () => {
      if (asBool(condition!.run(frame), 'the condition')) count += 1
      return true
    })
    return count === 1
  },
})

const MACROS: Record<string, { bodies: readonly number[]; make: Macro }> = {
  all: { bodies: [1], make: quantifier(false) },
  exists: { bodies: [1], make: quantifier(true) },
  exists_one: { bodies: [1], make: existsOne },
  existsOne: { bodies: [1], make: existsOne },
  filter: { bodies: [1], make: filter },
  map: { bodies: [1, 2], make: map },
}

/** True when a method call is a comprehension. */
export function isMacro(name: string, args: readonly Ast[]): boolean {
  return Object.hasOwn(MACROS, name) && MACROS[name]!.bodies.includes(args.length - 1)
}

function variableOf(ast: Ast, name: string): string {
  if (ast.op !== 'id') fail(ast, `the first argument of ${name}() is the name of a variable`)
  return ast.args as string
}

/** Compiles `list.map(x, …)` and the like; over a map they run over its keys. */
export function compileMacro(ast: Ast, name: string, receiver: Ast, args: readonly Ast[], scope: Compiling): CelNode {
  const list = scope.compile(receiver, scope)
  if (!['dyn', 'list', 'map'].includes(list.type)) fail(ast, `${aType(list.type)} has no items`)
  const { inner, slot } = withLocal(scope, variableOf(args[0]!, name))
  const bodies = args.slice(1).map((arg) => scope.compile(arg, inner))
  const conditions = name === 'map' ? bodies.slice(0, -1) : bodies
  const wrong = conditions.findIndex((body) => body.type !== 'dyn' && body.type !== 'bool')
  if (wrong !== -1) fail(args[wrong + 1]!, `the condition must be true or false, not ${aType(conditions[wrong]!.type)}`)
  return { ...MACROS[name]!.make(list, slot, bodies), cost: list.cost + 1 }
}

/** Compiles `cel.bind(x, value, result)`. */
export function compileBind(args: readonly Ast[], scope: Compiling): CelNode {
  const value = scope.compile(args[1]!, scope)
  const { inner, slot } = withLocal(scope, variableOf(args[0]!, 'cel.bind'))
  const result = scope.compile(args[2]!, inner)
  return {
    run(frame) {
      frame.locals[slot] = value.run(frame)
      return result.run(frame)
    },
    type: result.type,
    cost: value.cost + result.cost + 1,
  }
}
