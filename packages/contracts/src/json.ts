/** JSON values, and references to large ones. */
import { z } from 'zod'

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export const Json: z.ZodType<Json> = z.json() as z.ZodType<Json>

/** What stands in place of a payload over 64 KiB: `sha256:<hex>` of its JSON text, and that text's length in bytes. */
export const BlobRef = z.strictObject({ $blob: z.string().regex(/^sha256:[0-9a-f]{64}$/), bytes: z.int().nonnegative() })
export type BlobRef = z.infer<typeof BlobRef>

/** True when the value is exactly a blob reference. */
export function isBlobRef(value: unknown): value is BlobRef {
  if (typeof value !== 'object' || value === null || !('$blob' in value) || !('bytes' in value)) return false
  return Object.keys(value).length === 2 && BlobRef.safeParse(value).success
}

/** An error as users see it in runs, steps and events. */
export type BatonError = { code: string; message: string; step?: string; status?: number; retryAfterMs?: number; cause?: BatonError }
export const BatonError: z.ZodType<BatonError> = z.lazy(() =>
  z.object({
    code: z.string(),
    message: z.string(),
    step: z.string().optional(),
    status: z.int().optional(),
    retryAfterMs: z.number().optional(),
    cause: BatonError.optional(),
  }),
)

/** The value with NUL characters and lone surrogates, which Postgres refuses in jsonb, replaced by U+FFFD. Untouched values keep their identity. */
export function storable(value: Json): Json {
  if (typeof value === 'string') return storableText(value)
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) {
    const items = value.map(storable)
    return items.some((item, index) => item !== value[index]) ? items : value
  }
  const entries = Object.entries(value).map(([key, inner]) => [storableText(key), storable(inner)] as const)
  return entries.some(([key, inner]) => inner !== value[key]) ? Object.fromEntries(entries) : value
}

function storableText(text: string): string {
  return (text.isWellFormed() ? text : text.toWellFormed()).replaceAll('\u0000', '\ufffd')
}
