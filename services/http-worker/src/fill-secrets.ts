/** Secrets are put into a request at the last moment: they are in no job, no fact and no event. */
import type { HttpRequest, Json, RequestSlot } from '@baton/contracts'

/** A secret that the request needs does not exist, or cannot be opened. */
export class SecretUnknown extends Error {
  constructor(name: string, reason = 'does not exist in this namespace') {
    super(`the secret ${name} ${reason}`)
    this.name = 'SecretUnknown'
  }
}

/** Names of the secrets that the slots ask for, each once. */
export function secretNames(slots: readonly RequestSlot[]): string[] {
  const names = new Set<string>()
  for (const { parts } of slots) for (const part of parts) if (typeof part !== 'string' && 'secret' in part) names.add(part.secret)
  return [...names]
}

/** True when the request holds the address for its callback. */
export function holdsCallback(slots: readonly RequestSlot[]): boolean {
  return slots.some(({ parts }) => parts.some((part) => typeof part !== 'string' && 'callback' in part))
}

/** What stands in the places of a request: secrets by name, and the address for the callback. */
export interface SlotValues {
  secrets: ReadonlyMap<string, string>
  callbackUrl: string
}

/** A copy of the request with its secrets in place. Throws SecretUnknown. */
export function fillSecrets(request: HttpRequest, slots: readonly RequestSlot[], values: SlotValues): HttpRequest {
  const filled = structuredClone(request)
  for (const slot of slots) {
    const text = slot.parts.map((part) => filledOf(part, values)).join('')
    setAt(filled as unknown as Json, slot.pointer, text)
  }
  return filled
}

function filledOf(part: RequestSlot['parts'][number], { secrets, callbackUrl }: SlotValues): string {
  if (typeof part === 'string') return part
  return 'callback' in part ? callbackUrl : secretValue(part.secret, secrets)
}

function secretValue(name: string, values: ReadonlyMap<string, string>): string {
  const value = values.get(name)
  if (value === undefined) throw new SecretUnknown(name)
  return value
}

function setAt(root: Json, pointer: string, text: string): void {
  const keys = pointer
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
  let node = root as Record<string, Json>
  for (const key of keys.slice(0, -1)) {
    const next = Object.hasOwn(node, key) ? node[key] : undefined
    if (typeof next !== 'object' || next === null) throw new Error(`no place ${pointer} in the request`)
    node = next as Record<string, Json>
  }
  Object.defineProperty(node, keys.at(-1)!, { value: text, enumerable: true, configurable: true, writable: true })
}
