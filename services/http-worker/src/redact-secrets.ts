/** Promise 8: an answer that echoes a secret does not carry it into events. Redaction is by value, also in the forms that values travel in. */
import type { Json } from '@baton/contracts'
import { mapTexts } from './escape-text.ts'

/** Stands in place of a secret. */
export const REDACTED = '[redacted]'

/** A secret shorter than this is redacted only where it is a whole text: inside others it would take out letters at random. */
const INSIDE_CHARS_MIN = 4

export interface Redactor {
  text(text: string): string
  json(value: Json): Json
}

/** Redacts these values, as they are and in base64 (at any alignment), URL, form and JSON encoding. */
export function createRedactor(secrets: Iterable<string>): Redactor {
  const whole = new Set<string>()
  const inside = new Set<string>()
  for (const secret of secrets) {
    if (secret === '') continue
    whole.add(secret)
    if (secret.length < INSIDE_CHARS_MIN) continue
    for (const form of formsOf(secret)) inside.add(form)
  }
  // The longest first: one form may be part of another.
  const forms = [...inside].sort((a, b) => b.length - a.length)
  const text = (value: string) => {
    if (whole.has(value)) return REDACTED
    let redacted = value
    for (const form of forms) if (redacted.includes(form)) redacted = redacted.replaceAll(form, REDACTED)
    return redacted
  }
  return { text, json: (value) => mapTexts(value, text, (number) => (whole.has(String(number)) ? REDACTED : number)) }
}

function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret, 'utf8')
  const encoded = encodeURIComponent(secret.toWellFormed())
  const forms = [
    secret,
    encoded,
    encoded.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()),
    encoded.replaceAll('%20', '+'),
    new URLSearchParams([['', secret]]).toString().slice(1),
    JSON.stringify(secret).slice(1, -1),
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
    ...base64Forms(bytes),
  ]
  return forms.filter((form) => form.length >= INSIDE_CHARS_MIN)
}

/** How the bytes look inside a longer base64 text: three alignments, without the characters that neighbours share. */
function base64Forms(bytes: Buffer): string[] {
  const forms: string[] = [bytes.toString('base64'), bytes.toString('base64').replace(/=+$/, ''), bytes.toString('base64url')]
  for (const offset of [0, 1, 2]) {
    const text = Buffer.concat([Buffer.alloc(offset), bytes])
      .toString('base64')
      .replace(/=+$/, '')
    const first = Math.ceil((offset * 8) / 6)
    const last = Math.floor(((offset + bytes.length) * 8) / 6)
    const form = text.slice(first, last)
    // A short one would match by chance.
    if (form.length >= 6) forms.push(form, form.replaceAll('+', '-').replaceAll('/', '_'))
  }
  return forms
}
