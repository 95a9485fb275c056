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
