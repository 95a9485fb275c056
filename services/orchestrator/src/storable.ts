/** Columns of text and jsonb take neither U+0000 nor half a surrogate pair (payloads do: they are kept as they came). */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\u0000')
}

/** What is said of a text that is not storable. */
export const UNSTORABLE = 'holds U+0000 or a lone surrogate, which cannot be stored'
