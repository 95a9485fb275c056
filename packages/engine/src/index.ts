/**
 * Definitions to plans, and plans with facts to what happens next. Pure: no I/O, no clock, no randomness of its own. Invariants: a plan never
 * changes; every expression does a bounded amount of work; nothing of JavaScript shows through to expressions; secrets are never evaluated.
 */
export * from './apply-event.ts'
export * from './checksum.ts'
export type { Finding, Limits } from './compilation.ts'
export * from './compile.ts'
export * from './compile-mapping.ts'
export * from './decide.ts'
export * from './decision.ts'
export * from './expression-error.ts'
export { evaluateCondition, type ParsedExpression, parseExpression } from './expressions.ts'
export { graphOf } from './graph.ts'
export * from './instances.ts'
export * from './parse-definition.ts'
export * from './plan.ts'
export { type Reset, reopeningOf } from './resets.ts'
export * from './snapshot.ts'
export * from './state.ts'
export * from './supported.ts'
export { renderTemplate, renderWithSecrets, textOf } from './templates.ts'
export { checkSchema, validateAgainst } from './validate-schema.ts'
export * from './views.ts'
