/** The input of a run, before it is one: its size, its depth and the schema of its workflow. */
import { createHash } from 'node:crypto'
import { type BlobRef, isBlobRef, type Json, type ProblemError } from '@baton/contracts'
import { type Plan, validateAgainst } from '@baton/engine'
import { problem } from '@baton/runtime'

export interface InputLimits {
  inputBytesMax: number
  inlineBytesMax: number
  depthMax: number
}

/** An input that may be stored: as it is, or as a reference to a blob that is to be stored first. */
export interface CheckedInput {
  input: Json | BlobRef
  inputBytes: number
  blob?: { id: string; text: string }
}

/** What is wrong with an input, or what to store. `at` is its pointer. Throws 413 when it is too large. */
export function readInput(plan: Plan, value: Json, at: string, limits: InputLimits): CheckedInput | { errors: ProblemError[] } {
  if (isDeeperThan(value, limits.depthMax)) return { errors: [{ pointer: at, message: `is nested deeper than ${limits.depthMax} levels` }] }
  const text = JSON.stringify(value)
  const bytes = Buffer.byteLength(text)
  if (bytes > limits.inputBytesMax) {
    throw problem('BTN_TOO_LARGE', `${at} takes ${bytes} bytes, more than ${limits.inputBytesMax} (BATON_RUN_INPUT_BYTES_MAX)`)
  }
  const errors = plan.input === undefined ? [] : validateAgainst(plan.input, value, at)
  if (errors.length > 0) return { errors }
  // One that looks like a reference to a blob is stored as a blob itself, or it would be taken for what it names.
  if (bytes <= limits.inlineBytesMax && !isBlobRef(value)) return { input: value, inputBytes: bytes }
  const id = `sha256:${createHash('sha256').update(text).digest('hex')}`
  return { input: { $blob: id, bytes }, inputBytes: 100, blob: { id, text } }
}

/** True when lists and objects are nested more than `max` deep. */
export function isDeeperThan(value: Json | undefined, max: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (max === 0) return true
  if (Array.isArray(value)) return value.some((item) => isDeeperThan(item, max - 1))
  for (const key in value) if (isDeeperThan(value[key], max - 1)) return true
  return false
}
