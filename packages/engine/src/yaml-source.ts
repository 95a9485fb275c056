/**
 * YAML 1.2 (core schema) to JSON, with the place of everything. Our own walk over the document, not the library's `toJS`: it refuses what JSON
 * cannot hold, finds duplicate keys without comparing all pairs, and bounds what aliases expand to.
 */
import type { Json } from '@baton/contracts'
import { type Document, isAlias, isMap, isScalar, isSeq, type Node, type Pair, parseDocument, type YAMLMap } from 'yaml'
import { put } from './cel-values.ts'

/** YAML that cannot be read; `offset` is the index of the character. */
export class YamlSyntaxError extends Error {
  readonly offset: number
  constructor(message: string, offset: number) {
    super(message)
    this.name = 'YamlSyntaxError'
    this.offset = offset
  }
}

/** Values that one document may have once its aliases are expanded. */
const EXPANDED_VALUES_MAX = 500_000

interface Walk {
  anchors: Map<string, { value: Json; node: Node; values: number }>
  /** Values so far, aliases expanded. */
  values: number
  depthMax: number
}

export interface YamlSource {
  value: Json
  /** Offsets of the key and the first character of what a pointer names, or of the nearest thing around it. */
  find(segments: readonly string[]): { key: number | undefined; value: number; isCollection: boolean } | undefined
}

/** Reads one document. Throws YamlSyntaxError. */
export function readYaml(text: string, depthMax: number): YamlSource {
  const document = parse(text)
  const problem = document.errors[0] ?? document.warnings[0]
  if (problem) throw new YamlSyntaxError(firstLine(problem.message), problem.pos[0])
  const walk: Walk = { anchors: new Map(), values: 0, depthMax }
  const value = document.contents ? toJson(document.contents as Node, walk, 0) : null
  return { value, find: (segments) => findNode(document.contents as Node | null, segments, walk) }
}

function parse(text: string): Document.Parsed {
  try {
    return parseDocument(text, {
      version: '1.2',
      schema: 'core',
      strict: true,
      stringKeys: true,
      // Compares all pairs of keys: a long map would take minutes. toJson looks for them instead.
      uniqueKeys: false,
      resolveKnownTags: false,
      prettyErrors: false,
      // Not `silent`: that would let a second document pass.
      logLevel: 'error',
    })
  } catch (error) {
    if (error instanceof RangeError) throw new YamlSyntaxError('nested too deeply', 0)
    throw error
  }
}

function firstLine(message: string): string {
  if (message.startsWith('Source contains multiple documents')) return 'only one document is allowed'
  return message.startsWith('Maximum call stack') ? 'nested too deeply' : message.split('\n', 1)[0]!
}

function offsetOf(node: Node): number {
  return node.range?.[0] ?? 0
}

function toJson(node: Node, walk: Walk, depth: number): Json {
  if (depth > walk.depthMax) throw new YamlSyntaxError(`nested deeper than ${walk.depthMax} levels`, offsetOf(node))
  if (isAlias(node)) return expandAlias(node, walk)
  const before = walk.values
  count(walk, 1, node)
  const value = isMap(node) ? mapToJson(node, walk, depth) : isSeq(node) ? seqToJson(node.items, walk, depth) : scalarToJson(node)
  const { anchor } = node as { anchor?: string }
  if (anchor) walk.anchors.set(anchor, { value, node, values: walk.values - before })
  return value
}

function count(walk: Walk, values: number, node: Node): void {
  walk.values += values
  if (walk.values > EXPANDED_VALUES_MAX) throw new YamlSyntaxError(`more than ${EXPANDED_VALUES_MAX} values`, offsetOf(node))
}

function expandAlias(node: Node & { source: string }, walk: Walk): Json {
  const target = walk.anchors.get(node.source)
  if (!target) throw new YamlSyntaxError(`the alias *${node.source} has no anchor before it`, offsetOf(node))
  count(walk, target.values, node)
  return target.value
}

function scalarToJson(node: Node): Json {
  const value = isScalar(node) ? node.value : undefined
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw new YamlSyntaxError(`${String(value)} has no form in JSON`, offsetOf(node))
}

function seqToJson(items: unknown[], walk: Walk, depth: number): Json {
  return items.map((item) => (item ? toJson(item as Node, walk, depth + 1) : null))
}

function mapToJson(node: YAMLMap, walk: Walk, depth: number): Json {
  const object: Record<string, Json> = {}
  for (const pair of node.items) {
    const key = keyOf(pair)
    if (Object.hasOwn(object, key)) throw new YamlSyntaxError(`the key ${JSON.stringify(key)} stands twice`, offsetOf(pair.key as Node))
    put(object, key, pair.value ? toJson(pair.value as Node, walk, depth + 1) : null)
  }
  return object
}

function keyOf(pair: Pair): string {
  const key = pair.key as Node | null
  if (key && isScalar(key)) return String(key.value ?? '')
  if (key) throw new YamlSyntaxError('a key must be text', offsetOf(key))
  return ''
}

const indexes = new WeakMap<YAMLMap, Map<string, Pair>>()

function pairOf(map: YAMLMap, key: string): Pair | undefined {
  let index = indexes.get(map)
  if (!index) {
    index = new Map(map.items.map((pair) => [keyOf(pair), pair]))
    indexes.set(map, index)
  }
  return index.get(key)
}

function follow(node: Node | null, walk: Walk): Node | null {
  return node && isAlias(node) ? (walk.anchors.get(node.source)?.node ?? null) : node
}

function findNode(root: Node | null, segments: readonly string[], walk: Walk): ReturnType<YamlSource['find']> {
  if (!root) return undefined
  let found = { key: undefined as number | undefined, value: offsetOf(root), isCollection: isMap(root) || isSeq(root) }
  let node: Node | null = root
  for (const segment of segments) {
    node = follow(node, walk)
    const pair: Pair | undefined = isMap(node) ? pairOf(node, segment) : undefined
    const next: Node | null | undefined = pair
      ? (pair.value as Node | null)
      : isSeq(node)
        ? (node.items[Number(segment)] as Node | undefined)
        : undefined
    if (!pair && !next) break
    const key: number | undefined = pair?.key ? offsetOf(pair.key as Node) : undefined
    found = { key, value: next ? offsetOf(next) : (key ?? found.value), isCollection: isMap(next) || isSeq(next) }
    node = next ?? null
  }
  return found
}
