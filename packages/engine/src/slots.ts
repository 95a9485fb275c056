/**
 * Concurrency keys: a run that has one asks for a slot before it does anything, and leaves it when it has ended. Who may go next is decided in
 * Postgres, in the transaction that hears of it (store/concurrency-slots).
 */
import { type Deciding, envOf, errorOf } from './deciding.ts'
import { endRun } from './end-step.ts'
import { ExpressionError } from './expression-error.ts'
import type { RunState } from './state.ts'
import { renderTemplate, textOf } from './templates.ts'

/** True while the run waits for its slot: nothing of it starts. One that is ending waits for none: what undoes its steps has to go on. */
export function isHeld(state: RunState): boolean {
  return state.plan.concurrency !== undefined && !state.admitted && !state.ending
}

/** Asks for the slot; asking twice does no harm. One that was reopened is never refused, since that would undo what had succeeded before: it waits. */
export function askSlot(d: Deciding): void {
  const { key, limit, onConflict } = d.state.plan.concurrency!
  try {
    const rule = onConflict === 'reject' && d.state.reopenings ? 'queue' : onConflict
    d.decision.slot = { act: 'ask', key: textOf(renderTemplate(key, envOf(d, d.state.root))), limit, onConflict: rule }
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error
    endRun(d, 'failed', errorOf(error.code, `concurrency.key: ${error.message}`))
  }
}
