/** JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7396). Both give a new document; what they were given is not touched. */
import type { Json, PatchOperation } from '@baton/contracts'
import { canonicalJson } from './checksum.ts'
import { escapePointer, segmentsOf } from './json-pointers.ts'

/** An operation that cannot be done. `isTest`: a `test` that does not hold. `at` is its pointer in the patch. */
export class PatchFailed extends Error {
  override readonly name = 'PatchFailed'
  readonly at: string
  readonly isTest: boolean
  constructor(at: string, message: string, isTest = false) {
    super(message)
    this.at = at
    this.isTest = isTest
  }
}

/** The document after the operations, in order. Throws PatchFailed. */
export function applyPatch(document: Json, operations: readonly PatchOperation[]): Json {
  let patched = structuredClone(document)
  for (const [index, operation] of operations.entries()) patched = applyOperation(patched, operation, `/${index}`)
  return patched
}

function applyOperation(document: Json, operation: PatchOperation, at: string): Json {
  switch (operation.op) {
    case 'add':
      return put(document, operation.path, structuredClone(operation.value), 'add', at)
    case 'replace':
      return put(document, operation.path, structuredClone(operation.value), 'replace', at)
    case 'remove':
      return remove(document, operation.path, at)
    case 'copy':
      return put(document, operation.path, structuredClone(get(document, operation.from, `${at}/from`)), 'add', at)
    case 'move': {
      if (operation.path.startsWith(`${operation.from}/`)) throw new PatchFailed(`${at}/path`, 'a value cannot be moved into itself')
      const moved = get(document, operation.from, `${at}/from`)
      if (operation.path === operation.from) return document
      return put(remove(document, operation.from, `${at}/from`), operation.path, moved, 'add', at)
    }
    case 'test':
      if (canonicalJson(get(document, operation.path, `${at}/path`)) !== canonicalJson(operation.value)) {
        throw new PatchFailed(at, `what stands at ${operation.path || 'the root'} is something else`, true)
      }
      return document
  }
}

function get(document: Json, pointer: string, at: string): Json {
  let value = document
  for (const segment of readPointer(pointer, at)) value = childOf(value, segment, pointer, at)
  return value
}

function childOf(value: Json, segment: string, pointer: string, at: string): Json {
  if (Array.isArray(value)) return value[indexOf(segment, value.length - 1, pointer, at)]!
  if (typeof value === 'object' && value !== null && Object.hasOwn(value, segment)) return value[segment]!
  throw new PatchFailed(at, `there is nothing at ${pointer}`)
}

function readPointer(pointer: string, at: string): string[] {
  if (pointer !== '' && !pointer.startsWith('/')) throw new PatchFailed(at, 'a JSON Pointer is empty or begins with /')
  const segments = segmentsOf(pointer)
  if (segments.includes('__proto__')) throw new PatchFailed(at, 'the key __proto__ is not taken')
  return segments
}

function indexOf(segment: string, max: number, pointer: string, at: string): number {
  if (!/^(0|[1-9]\d{0,8})$/.test(segment) || Number(segment) > max) throw new PatchFailed(at, `there is nothing at ${pointer}`)
  return Number(segment)
}

function put(document: Json, pointer: string, value: Json, how: 'add' | 'replace', at: string): Json {
  const segments = readPointer(pointer, `${at}/path`)
  const last = segments.pop()
  if (last === undefined) return value
  const parent = get(document, segments.map((segment) => `/${escapePointer(segment)}`).join(''), `${at}/path`)
  if (Array.isArray(parent)) {
    if (how === 'replace') parent[indexOf(last, parent.length - 1, pointer, `${at}/path`)] = value
    else if (last === '-') parent.push(value)
    else parent.splice(indexOf(last, parent.length, pointer, `${at}/path`), 0, value)
    return document
  }
  if (how === 'replace') childOf(parent, last, pointer, `${at}/path`)
  if (typeof parent !== 'object' || parent === null) throw new PatchFailed(`${at}/path`, `there is nothing at ${pointer}`)
  parent[last] = value
  return document
}

function remove(document: Json, pointer: string, at: string): Json {
  const place = at.endsWith('/from') ? at : `${at}/path`
  const segments = readPointer(pointer, place)
  const last = segments.pop()
  if (last === undefined) throw new PatchFailed(place, 'the whole document cannot be removed')
  const parent = get(document, segments.map((segment) => `/${escapePointer(segment)}`).join(''), place)
  childOf(parent, last, pointer, place)
  if (Array.isArray(parent)) parent.splice(Number(last), 1)
  else delete (parent as Record<string, Json>)[last]
  return document
}

/** The value with what the patch names in place of what it had; null takes away. */
export function mergePatch(value: Json | undefined, patch: Json): Json {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch
  const merged: Record<string, Json> = typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {}
  for (const [key, inner] of Object.entries(patch)) {
    if (key === '__proto__') continue
    if (inner === null) delete merged[key]
    else merged[key] = mergePatch(merged[key], inner)
  }
  return merged
}
