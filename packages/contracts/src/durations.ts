/** Durations as users write them: `500ms`, `30s`, `5m`, `24h`, `7d`, or ISO 8601 `PT5M`. */
const UNITS_MS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const SHORT = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/
/** 100 years. More would leave the times that Postgres and dates can tell. */
export const DURATION_MS_MAX = 36_525 * UNITS_MS.d!
export const NOT_A_DURATION = 'not a duration of at most 100 years: write 500ms, 30s, 5m, 24h, 7d or PT5M'
const ISO = /^P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/

/** Milliseconds (integer) of a duration, or undefined when the text is not one, or one of more than 100 years. */
export function parseDuration(text: string): number | undefined {
  const ms = millisecondsOf(text)
  return ms !== undefined && ms <= DURATION_MS_MAX ? ms : undefined
}

/** True for a duration of more than 100 years. */
export function isOverlong(text: string): boolean {
  return (millisecondsOf(text) ?? 0) > DURATION_MS_MAX
}

function millisecondsOf(text: string): number | undefined {
  const short = SHORT.exec(text)
  if (short) return Math.round(Number(short[1]) * UNITS_MS[short[2]!]!)
  const iso = ISO.exec(text)
  if (!iso || text === 'P' || text.endsWith('T')) return undefined
  const [, weeks, days, hours, minutes, seconds] = iso
  const ms = Number(weeks ?? 0) * 7 * UNITS_MS.d! + Number(days ?? 0) * UNITS_MS.d! + Number(hours ?? 0) * UNITS_MS.h!
  return Math.round(ms + Number(minutes ?? 0) * UNITS_MS.m! + Number(seconds ?? 0) * UNITS_MS.s!)
}
