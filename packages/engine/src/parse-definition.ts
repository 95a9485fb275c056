/** The text of a definition to JSON, with the line and column of errors and of every JSON Pointer. */
import type { Json } from '@baton/contracts'
import { segmentsOf } from './json-pointers.ts'
import { JsonSyntaxError, scanJson } from './json-source.ts'
import { readYaml, YamlSyntaxError } from './yaml-source.ts'

/** Both count from 1; the column counts UTF-16 units. */
export interface Position {
  line: number
  column: number
}

/**
 * Where a JSON Pointer stands: a single value where it begins, a list or object at its key; `key` asks for the key in any case. When there is
 * nothing at the pointer, the nearest thing around it.
 */
export type Locate = (pointer: string, of?: 'key') => Position | undefined

/** The text is not JSON or YAML, or has what no definition may have (a key twice, aliases without end). Answered as BTN_MALFORMED_BODY. */
export class DefinitionSyntaxError extends Error {
  readonly line: number
  readonly column: number
  constructor(message: string, position: Position, options?: ErrorOptions) {
    super(`${message} at line ${position.line}, column ${position.column}`, options)
    this.name = 'DefinitionSyntaxError'
    this.line = position.line
    this.column = position.column
  }
}

/** Levels of lists and objects in a definition. */
const DEPTH_MAX = 200

/** Parses a definition. Throws DefinitionSyntaxError with the first problem. */
export function parseDefinition(text: string, format: 'json' | 'yaml'): { value: Json; locate: Locate } {
  const source = text.startsWith('\uFEFF') ? text.slice(1) : text
  const positionOf = createPositions(source)
  try {
    return format === 'json' ? parseJson(source, positionOf) : parseYaml(source, positionOf)
  } catch (error) {
    if (!(error instanceof JsonSyntaxError) && !(error instanceof YamlSyntaxError)) throw error
    throw new DefinitionSyntaxError(error.message, positionOf(error.offset), { cause: error })
  }
}

type Positions = (offset: number) => Position

function parseJson(source: string, positionOf: Positions): { value: Json; locate: Locate } {
  scanJson(source, DEPTH_MAX)
  const value = JSON.parse(source) as Json
  let places: Map<string, { key: number | undefined; value: number }> | undefined
  const locate: Locate = (pointer, of) => {
    places ??= indexJson(source)
    for (let at = pointer; ; at = at.slice(0, at.lastIndexOf('/'))) {
      const place = places.get(at)
      if (place) return positionOf(pick(place, source[place.value] === '{' || source[place.value] === '[', of))
      if (at === '') return undefined
    }
  }
  return { value, locate }
}

function indexJson(source: string): Map<string, { key: number | undefined; value: number }> {
  const places = new Map<string, { key: number | undefined; value: number }>()
  scanJson(source, DEPTH_MAX, (pointer, key, value) => places.set(pointer, { key, value }))
  return places
}

function parseYaml(source: string, positionOf: Positions): { value: Json; locate: Locate } {
  const { value, find } = readYaml(source, DEPTH_MAX)
  const locate: Locate = (pointer, of) => {
    const place = find(segmentsOf(pointer))
    return place && positionOf(pick(place, place.isCollection, of))
  }
  return { value, locate }
}

function pick(place: { key: number | undefined; value: number }, isCollection: boolean, of?: 'key'): number {
  return of === 'key' || isCollection ? (place.key ?? place.value) : place.value
}

function createPositions(source: string): Positions {
  let starts: number[] | undefined
  return (offset) => {
    starts ??= lineStarts(source)
    let [low, high] = [0, starts.length - 1]
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (starts[middle]! <= offset) low = middle
      else high = middle - 1
    }
    return { line: low + 1, column: offset - starts[low]! + 1 }
  }
}

function lineStarts(source: string): number[] {
  const starts = [0]
  for (let at = source.indexOf('\n'); at !== -1; at = source.indexOf('\n', at + 1)) starts.push(at + 1)
  return starts
}
