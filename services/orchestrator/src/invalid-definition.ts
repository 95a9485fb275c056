import type { Finding } from '@baton/engine'
import { problem } from '@baton/runtime'

/** The 422 of a definition with these errors; 413 for one that is too large. */
export function invalidDefinition(errors: Finding[]): Error {
  // Bytes are a size; too many steps, or too deep ones, are a mistake at a place.
  const tooLarge = errors.find((error) => error.code === 'BTN_TOO_LARGE' && error.pointer === '')
  if (tooLarge) return problem('BTN_TOO_LARGE', tooLarge.message)
  const code = errors.every((error) => error.code === 'BTN_UNSUPPORTED') ? 'BTN_UNSUPPORTED' : 'BTN_INVALID_DEFINITION'
  const { pointer, message, line, column } = errors[0]!
  const place = line === undefined ? '' : ` (line ${line}, column ${column})`
  return problem(code, `${pointer || 'the definition'}: ${message}${place}`, { errors })
}
