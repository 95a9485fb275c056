/** A strict JSON reader that knows where everything stands: for the place of syntax errors, duplicate keys and JSON Pointers. */
import { escapePointer } from './json-pointers.ts'

/** JSON text that cannot be read; `offset` is the index of the character where reading stopped. */
export class JsonSyntaxError extends Error {
  readonly offset: number
  constructor(message: string, offset: number) {
    super(message)
    this.name = 'JsonSyntaxError'
    this.offset = offset
  }
}

/** Called for every value, parents first: offsets of its key (in an object) and of its first character. */
export type Visit = (pointer: string, keyOffset: number | undefined, valueOffset: number) => void

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids control characters in strings
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y
const SPACE = /[ \t\n\r]*/y
const LITERALS = ['true', 'false', 'null']

/** Reads a whole text. Throws JsonSyntaxError, also for a key that stands twice and for nesting deeper than `depthMax`. */
export function scanJson(text: string, depthMax: number, visit?: Visit): void {
  const scan: Scan = { text, at: 0, depthMax, visit }
  skip(scan)
  scanValue(scan, '', undefined, 0)
  skip(scan)
  if (scan.at < text.length) throw unexpected(scan)
}

interface Scan {
  text: string
  at: number
  depthMax: number
  visit: Visit | undefined
}

function unexpected(scan: Scan): JsonSyntaxError {
  const char = scan.text[scan.at]
  return new JsonSyntaxError(char === undefined ? 'the JSON ends too soon' : `unexpected ${JSON.stringify(char)}`, scan.at)
}

function skip(scan: Scan): void {
  SPACE.lastIndex = scan.at
  SPACE.test(scan.text)
  scan.at = SPACE.lastIndex
}

function scanValue(scan: Scan, pointer: string, keyOffset: number | undefined, depth: number): void {
  if (depth > scan.depthMax) throw new JsonSyntaxError(`nested deeper than ${scan.depthMax} levels`, scan.at)
  scan.visit?.(pointer, keyOffset, scan.at)
  const char = scan.text[scan.at]
  if (char === '{') scanObject(scan, pointer, depth)
  else if (char === '[') scanArray(scan, pointer, depth)
  else if (char === '"') scanString(scan)
  else scanScalar(scan)
}

function scanScalar(scan: Scan): void {
  const literal = LITERALS.find((word) => scan.text.startsWith(word, scan.at))
  if (literal) {
    scan.at += literal.length
    return
  }
  NUMBER.lastIndex = scan.at
  if (!NUMBER.test(scan.text)) throw unexpected(scan)
  if (!Number.isFinite(Number(scan.text.slice(scan.at, NUMBER.lastIndex)))) throw new JsonSyntaxError('the number is too large', scan.at)
  scan.at = NUMBER.lastIndex
}

function scanString(scan: Scan): string {
  const start = scan.at
  STRING.lastIndex = start
  if (!STRING.test(scan.text)) throw brokenString(scan)
  scan.at = STRING.lastIndex
  return scan.text.slice(start, scan.at)
}

function brokenString(scan: Scan): JsonSyntaxError {
  for (let at = scan.at + 1; at < scan.text.length; at++) {
    const code = scan.text.charCodeAt(at)
    if (code < 32) return new JsonSyntaxError('a string may not contain a line break or control character', at)
    if (code === 34) break
    if (code !== 92) continue
    if (!/^\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/.test(scan.text.slice(at, at + 6))) return new JsonSyntaxError('bad escape in a string', at)
    at += 1
  }
  return new JsonSyntaxError('the string has no end', scan.at)
}

function expect(scan: Scan, char: string): void {
  if (scan.text[scan.at] !== char) throw unexpected(scan)
  scan.at += 1
}

/** Behind an item: true when the collection goes on. */
function goesOn(scan: Scan, close: string): boolean {
  skip(scan)
  if (scan.text[scan.at] === ',') {
    scan.at += 1
    skip(scan)
    return true
  }
  expect(scan, close)
  return false
}

function scanObject(scan: Scan, pointer: string, depth: number): void {
  const keys = new Set<string>()
  scan.at += 1
  skip(scan)
  if (scan.text[scan.at] === '}') {
    scan.at += 1
    return
  }
  do {
    const keyOffset = scan.at
    if (scan.text[keyOffset] !== '"') throw unexpected(scan)
    const raw = scanString(scan)
    const key = raw.includes('\\') ? (JSON.parse(raw) as string) : raw.slice(1, -1)
    if (keys.has(key)) throw new JsonSyntaxError(`the key ${JSON.stringify(key)} stands twice`, keyOffset)
    keys.add(key)
    skip(scan)
    expect(scan, ':')
    skip(scan)
    scanValue(scan, scan.visit ? `${pointer}/${escapePointer(key)}` : '', keyOffset, depth + 1)
  } while (goesOn(scan, '}'))
}

function scanArray(scan: Scan, pointer: string, depth: number): void {
  scan.at += 1
  skip(scan)
  if (scan.text[scan.at] === ']') {
    scan.at += 1
    return
  }
  let index = 0
  do {
    scanValue(scan, scan.visit ? `${pointer}/${index}` : '', undefined, depth + 1)
    index += 1
  } while (goesOn(scan, ']'))
}
