/** What the pieces of an expression compile to, and what they may look at while they compile. */
import type { CelType, Work } from './cel-values.ts'
import { ExpressionSyntaxError } from './expression-error.ts'
import type { Env } from './plan.ts'

/** One evaluation: the world, the variables of comprehensions by slot, and the work that is left. */
export interface Frame extends Work {
  env: Env
  locals: unknown[]
  /** Roots that were read inside a comprehension: asked for once, not in every round. */
  roots?: Map<string, unknown>
}

export interface CelNode {
  run(frame: Frame): unknown
  /** As far as it is known before anything runs. */
  type: CelType
  /** Units of work of one evaluation without what its comprehensions repeat. */
  cost: number
  /** True when the value is JSON just as it came in, so that a result need not be converted. */
  json?: boolean
  /** The id when the node is `steps.<id>`. */
  step?: string
}

/** A function or method; `takes` are the numbers of arguments, and `args` begin with the receiver of a method. */
export interface CelFunction {
  takes: readonly number[]
  gives: CelType
  call(args: readonly unknown[], work: Work): unknown
}

/** A node of the parser's tree, as far as we read it. */
export interface Ast {
  op: string
  args: unknown
  start: number
}

/** Collected while an expression compiles. */
export interface Compiling {
  locals: ReadonlyMap<string, number>
  /** Shared by all scopes of an expression. */
  found: Found
  compile(ast: Ast, scope: Compiling): CelNode
}

export interface Found {
  steps: Set<string>
  variables: Set<string>
  vars: Set<string>
  secrets: Set<string>
  slots: number
}

/** Fails at a node. */
export function fail(ast: Ast, message: string): never {
  throw new ExpressionSyntaxError(message, ast.start)
}

/** A scope with one more variable; gives its slot. */
export function withLocal(scope: Compiling, name: string): { inner: Compiling; slot: number } {
  const slot = scope.locals.size
  const locals = new Map(scope.locals)
  // A name that shadows another keeps the slots of both apart.
  const taken = locals.has(name) ? new Map([...locals, [`${name}@${slot}`, locals.get(name)!]]) : locals
  taken.set(name, slot)
  scope.found.slots = Math.max(scope.found.slots, slot + 1)
  return { inner: { ...scope, locals: taken }, slot }
}
