/**
 * Where a text stops being JSON (RFC 8259). JSON.parse says so only sometimes; this is asked only after it has failed.
 */
const SPACE = /[ \t\n\r]*/y
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids just these in strings
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*/y
const SCALAR = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y

type Expected = 'value' | 'key' | 'colon' | 'after'

/** Offset of the first character that cannot stand where it stands; the length of the text when it ends too soon. */
export function jsonErrorOffset(text: string): number {
  let at = 0
  const open: ('[' | '{')[] = []
  let expected: Expected = 'value'
  let mayClose = false
  const skip = (pattern: RegExp): boolean => {
    pattern.lastIndex = at
    const found = pattern.exec(text)
    if (found) at += found[0].length
    return found !== null && found[0] !== ''
  }
  const string = (): boolean => skip(STRING) && text[at] === '"' && ++at > 0
  for (;;) {
    skip(SPACE)
    const next = text[at]
    if (next === undefined) return at
    const container: '[' | '{' | undefined = open.at(-1)
    const closes = (container === '[' && next === ']') || (container === '{' && next === '}')
    if (closes && (mayClose || expected === 'after')) {
      at++
      open.pop()
      expected = 'after'
      mayClose = false
      continue
    }
    mayClose = false
    if (expected === 'value') {
      if (next === '[' || next === '{') {
        at++
        open.push(next)
        expected = next === '[' ? 'value' : 'key'
        mayClose = true
        continue
      }
      if (!(next === '"' ? string() : skip(SCALAR))) return at
      expected = 'after'
    } else if (expected === 'key') {
      if (!(next === '"' && string())) return at
      expected = 'colon'
    } else if (expected === 'colon') {
      if (next !== ':') return at
      at++
      expected = 'value'
    } else {
      if (container === undefined || next !== ',') return at
      at++
      expected = container === '[' ? 'value' : 'key'
    }
  }
}

/** Line and column of an offset, from 1. */
export function placeOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset)
  return { line: before.split('\n').length, column: before.length - before.lastIndexOf('\n') }
}
