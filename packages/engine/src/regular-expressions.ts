/** Regular expressions of users: RE2, so that no pattern can hang a process; compiled once, in a bounded cache. */
import { RE2JS } from 're2js'

const CACHED_MAX = 500
export const PATTERN_CHARS_MAX = 1_000
const cache = new Map<string, RE2JS>()

/** The compiled pattern. Throws an Error with the reason when it is not RE2 (look-ahead and back references are not), or over 1 000 characters. */
export function compilePattern(pattern: string): RE2JS {
  const known = cache.get(pattern)
  if (known) return known
  if (pattern.length > PATTERN_CHARS_MAX) throw new Error(`the pattern is longer than ${PATTERN_CHARS_MAX} characters`)
  const compiled = RE2JS.compile(pattern)
  if (cache.size >= CACHED_MAX) cache.delete(cache.keys().next().value!)
  cache.set(pattern, compiled)
  return compiled
}
