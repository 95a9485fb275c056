/** The channels of an approval's `notify`: where to tell people, with secrets put in at the last moment. */
import { type Json, SecretSlot } from '@baton/contracts'
import { z } from 'zod'

const Webhook = z.strictObject({
  url: z.string(),
  headers: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
})
const Slack = z.strictObject({ url: z.string() })

/** One entry of `notify`, rendered. E-mail is refused when a definition is saved; rows of other versions may still hold it. */
const Channel = z.union([
  z.strictObject({ webhook: Webhook }).transform(({ webhook }) => ({ kind: 'webhook' as const, ...webhook })),
  z.strictObject({ slack: Slack }).transform(({ slack }) => ({ kind: 'slack' as const, ...slack })),
  z.strictObject({ email: z.json() }).transform(() => ({ kind: 'email' as const })),
])
export type Channel = z.infer<typeof Channel> | { kind: 'unreadable' }

/** Names of the secrets that the slots ask for, each once. */
export function secretsIn(slots: Json): string[] {
  return [...new Set(slotsOf(slots).flatMap((slot) => slot.parts.flatMap((part) => (typeof part === 'string' ? [] : [part.secret]))))]
}

/** The channels in order; those that cannot be read keep their place, so that the index of a channel never changes. */
export function readChannels(notify: Json, slots: Json, secrets: ReadonlyMap<string, string>): Channel[] {
  const filled = fillSlots(notify, slotsOf(slots), secrets)
  const entries = Array.isArray(filled) ? filled : [filled]
  return entries.map((entry) => {
    const parsed = Channel.safeParse(entry)
    return parsed.success ? parsed.data : { kind: 'unreadable' }
  })
}

function slotsOf(slots: Json): SecretSlot[] {
  return slots === null ? [] : z.array(SecretSlot).parse(slots)
}

function fillSlots(notify: Json, slots: readonly SecretSlot[], secrets: ReadonlyMap<string, string>): Json {
  if (slots.length === 0) return notify
  const filled = structuredClone(notify)
  for (const { pointer, parts } of slots) {
    const text = parts.map((part) => (typeof part === 'string' ? part : secrets.get(part.secret)!)).join('')
    setAt(filled, pointer, text)
  }
  return filled
}

/** Sets the value at a JSON Pointer whose containers exist. */
function setAt(root: Json, pointer: string, text: string): void {
  const keys = pointer
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
  let holder: Json = root
  for (const key of keys.slice(0, -1)) {
    if (typeof holder !== 'object' || holder === null) return
    holder = (holder as { [key: string]: Json })[key] ?? null
  }
  if (typeof holder === 'object' && holder !== null) (holder as { [key: string]: Json })[keys.at(-1)!] = text
}
