/**
 * Expressions of CONTRACT §2: CEL with optional types. Parsed by cel-js, compiled to closures here (cel-compile.ts). Every evaluation may do
 * a bounded amount of work: each node, each round of a comprehension and each 32 characters cost a unit, so the bound holds for time too,
 * without a clock.
 */
import type { Json } from '@baton/contracts'
import { LIMITS } from '@baton/contracts'
import { Environment, ParseError } from '@marcbachmann/cel-js'
import { compileAst } from './cel-compile.ts'
import type { Ast, CelNode, Found, Frame } from './cel-node.ts'
import { aType, type CelType, toJson, typeOf } from './cel-values.ts'
import { ExpressionError, ExpressionSyntaxError, limitError } from './expression-error.ts'
import type { Env, Expression } from './plan.ts'

/** An expression with what only the compiler of definitions needs to know. */
export interface ParsedExpression extends Expression {
  /** As far as it is known before anything runs. */
  type: CelType
  /** Names after `secrets.`. */
  secrets: readonly string[]
  /** The name when the expression is exactly `secrets.NAME`. */
  secret?: string
}

const SOURCE_CHARS_MAX = 10_000
const NODES_MAX = 2_000

const parser = new Environment({
  unlistedVariablesAreDyn: true,
  enableOptionalTypes: true,
  homogeneousAggregateLiterals: false,
  limits: { maxAstNodes: NODES_MAX, maxDepth: 100, maxListElements: 1_000, maxMapEntries: 1_000, maxCallArguments: 32 },
})

/**
 * Parses one expression (without `${{ }}`). `workMax`: units of work that one evaluation may do. Throws ExpressionSyntaxError when it cannot be
 * parsed, or can never work (an unknown function, `1 + "a"`).
 */
export function parseExpression(source: string, workMax: number = LIMITS.expressionWorkMax): ParsedExpression {
  if (source.length > SOURCE_CHARS_MAX) throw new ExpressionSyntaxError(`the expression is longer than ${SOURCE_CHARS_MAX} characters`)
  const { ast, node, found } = parse(source)
  const secret = found.secrets.size === 1 && isSecret(ast) ? [...found.secrets][0] : undefined
  return {
    source,
    steps: [...found.steps],
    variables: [...found.variables],
    vars: [...found.vars],
    secrets: [...found.secrets],
    ...(secret === undefined ? {} : { secret }),
    type: node.type,
    evaluate: (env) => evaluate(source, node, found, env, workMax),
  }
}

function isSecret(ast: Ast): boolean {
  const [target] = ast.args as [Ast | undefined]
  return (ast.op === '.' || ast.op === '[]') && target?.op === 'id' && target.args === 'secrets'
}

function parse(source: string): { ast: Ast; node: CelNode; found: Found } {
  try {
    const { ast } = parser.parse(source) as unknown as { ast: Ast }
    return { ast, ...compileAst(ast) }
  } catch (error) {
    if (error instanceof ExpressionSyntaxError) throw error
    if (error instanceof ParseError) throw new ExpressionSyntaxError(error.summary, error.range?.start)
    if (error instanceof RangeError) throw new ExpressionSyntaxError('the expression is nested too deeply')
    throw error
  }
}

function evaluate(source: string, node: CelNode, found: Found, env: Env, workMax: number): Json {
  const frame: Frame = { env, locals: found.slots === 0 ? NO_LOCALS : new Array(found.slots), left: workMax - node.cost }
  try {
    const value = node.run(frame)
    return node.json ? (value as Json) : toJson(value, { left: workMax })
  } catch (error) {
    throw explain(error, source)
  }
}
const NO_LOCALS: unknown[] = []

/** Names the expression in its own errors; what others threw (a payload to load, a bug) passes. */
function explain(error: unknown, source: string): unknown {
  if (error instanceof RangeError) return located(limitError('the expression makes or reads a value that is too large or too deep'), source)
  return error instanceof ExpressionError && !error.located ? located(error, source) : error
}

function located(error: ExpressionError, source: string): ExpressionError {
  const place = source.length > 200 ? `${source.slice(0, 200)}…` : source
  const named = new ExpressionError(`${error.message} in \${{ ${place} }}`, error.code, { cause: error })
  named.located = true
  return named
}

/** The boolean of a condition. Throws ExpressionError when it gives anything else. */
export function evaluateCondition(expression: Expression, env: Env): boolean {
  const value = expression.evaluate(env)
  if (typeof value === 'boolean') return value
  throw located(new ExpressionError(`a condition must give true or false, not ${aType(typeOf(value))}`), expression.source)
}

/** A function that parses each source once: for the time of one compilation. */
export function createExpressionCache(workMax?: number): (source: string) => ParsedExpression {
  const cache = new Map<string, ParsedExpression>()
  return (source) => {
    const known = cache.get(source)
    if (known) return known
    const parsed = parseExpression(source, workMax)
    cache.set(source, parsed)
    return parsed
  }
}
