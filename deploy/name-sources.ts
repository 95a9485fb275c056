/**
 * Lets stack traces of a bundle name the sources; bundle.ts puts it before everything else. Node's own --enable-source-maps reads every map when its
 * file is loaded and keeps it taken apart: 55 MB of each service, and a third of the CPU of its start. Here a map is read when a trace is asked
 * for and let go again; what is kept are the places that were looked up.
 */
import { readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Set by bundle.ts: where the bundle lies in the checkout, which the sources in its maps are relative to. */
declare const BUNDLED_AT: string

const FOLDER = new URL('.', import.meta.url).href
/** A trace is at most some tens of places, and most errors come from the same ones. */
const PLACES_MAX = 1_000
const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const VALUES = new Map([...DIGITS].map((digit, value) => [digit.charCodeAt(0), value]))
const [COMMA, SEMICOLON] = [44, 59]

/** A place in the bundle, both counted from 0, and the place in a source that the map has for it: [source, line, column]. */
interface Place {
  line: number
  column: number
  source?: [number, number, number]
}

const known = new Map<string, string>()

Error.prepareStackTrace = (error, frames) => {
  const lines = frames.map(String)
  try {
    lookUp(lines.flatMap((line) => placeIn(line)?.whole ?? []))
  } catch {
    // no map: the places in the bundle are told
  }
  return [titleOf(error), ...lines.map((line) => `    at ${named(line)}`)].join('\n')
}

function titleOf(error: unknown): string {
  try {
    return Error.prototype.toString.call(error)
  } catch {
    return '<error>'
  }
}

function placeIn(line: string) {
  const found = /(file:\/\/[^\s()]+\.js):(\d+):(\d+)/.exec(line)
  if (!found?.[1]?.startsWith(FOLDER)) return undefined
  return { whole: found[0], file: found[1], line: Number(found[2]), column: Number(found[3]) }
}

function named(line: string): string {
  const whole = placeIn(line)?.whole
  return whole === undefined ? line : line.replace(whole, known.get(whole) ?? whole)
}

function lookUp(wholes: string[]): void {
  const missing = new Set(wholes.filter((whole) => !known.has(whole)))
  if (known.size + missing.size > PLACES_MAX) known.clear()
  const byFile = Map.groupBy(missing, (whole) => placeIn(whole)!.file)
  for (const [file, ofFile] of byFile) {
    const map = JSON.parse(readFileSync(`${fileURLToPath(file)}.map`, 'utf8')) as { sources: string[]; mappings: string }
    const places: Place[] = ofFile.map((whole) => placeIn(whole)!).map(({ line, column }) => ({ line: line - 1, column: column - 1 }))
    findSources(map.mappings, places)
    places.forEach(({ source }, n) => {
      if (source) known.set(ofFile[n]!, `${posix.join(BUNDLED_AT, map.sources[source[0]]!)}:${source[1] + 1}:${source[2] + 1}`)
    })
  }
}

/**
 * Gives each place its source, in one passage through the mappings (https://tc39.es/ecma426/#sec-mappings-grammar): of the segments of its line the
 * last one that begins at or before its column. Each number is the difference to the one before; columns of the bundle begin anew with each line.
 */
function findSources(mappings: string, places: Place[]): void {
  const last = Math.max(...places.map(({ line }) => line))
  const at = { index: 0 }
  let [line, column, source, sourceLine, sourceColumn] = [0, 0, 0, 0, 0]
  while (at.index < mappings.length && line <= last) {
    const code = mappings.charCodeAt(at.index)
    if (code === SEMICOLON || code === COMMA) {
      if (code === SEMICOLON) [line, column] = [line + 1, 0]
      at.index++
      continue
    }
    column += readNumber(mappings, at)
    const hasSource = !endsAt(mappings, at.index)
    if (hasSource) {
      source += readNumber(mappings, at)
      sourceLine += readNumber(mappings, at)
      sourceColumn += readNumber(mappings, at)
      if (!endsAt(mappings, at.index)) readNumber(mappings, at) // a name
    }
    for (const place of places) {
      if (place.line !== line || column > place.column) continue
      if (hasSource) place.source = [source, sourceLine, sourceColumn]
      else delete place.source
    }
  }
}

function endsAt(mappings: string, index: number): boolean {
  const code = mappings.charCodeAt(index)
  return index >= mappings.length || code === COMMA || code === SEMICOLON
}

/** A number of base 64 digits, five bits each and the lowest first; the sixth bit says that more follow, the lowest bit of all is the sign. */
function readNumber(mappings: string, at: { index: number }): number {
  let [value, shift, digit] = [0, 0, 0]
  do {
    digit = VALUES.get(mappings.charCodeAt(at.index++)) ?? 0
    value += (digit & 31) << shift
    shift += 5
  } while (digit & 32)
  return value & 1 ? -(value >> 1) : value >> 1
}
