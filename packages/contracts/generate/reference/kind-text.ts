/** What a page says of a kind beside what its schema says. */
import type { ErrorCode } from '../../src/errors.ts'

/** An error that a step of the kind can have, when, and whether `retry` without `on` tries again after it. */
export type KindError = readonly [code: ErrorCode, when: string, isTriedAgain?: boolean]

export interface KindText {
  /** Paragraphs of Markdown after the summary: what it is for, and how it goes. */
  about: string
  /** What `steps.<id>.output` is: fields with their meaning, or a sentence. */
  output: string | Readonly<Record<string, string>>
  errors: readonly KindError[]
  /** What the step waits for, as `waitingFor` and `/why` tell it. */
  waits: string
  /** What controls of the run do to it. */
  controls: readonly (readonly [control: string, effect: string])[]
  /** Examples that do not begin with the name of the kind. */
  examples?: readonly string[]
  /** Markdown links to further pages. */
  more?: string
}

export const ANY_EXPRESSION: KindError = [
  'BTN_EXPRESSION',
  'an expression in the body cannot be evaluated: a field is missing, a type does not fit',
]
