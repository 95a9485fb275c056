/** Tables for people. */

const ANSI = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const

/** Colours on a terminal, plain text elsewhere. */
export type Paint = (style: keyof typeof ANSI, text: string) => string

/** Makes the painter. */
export function createPaint(isColoured: boolean): Paint {
  return (style, text) => (isColoured ? `\x1b[${ANSI[style]}m${text}\x1b[0m` : text)
}

/** Aligned columns under a heading; the last column is not padded. Cells may be painted: their width is that of the text. */
export function formatTable(heading: readonly string[], rows: readonly (readonly string[])[], paint: Paint): string {
  if (rows.length === 0) return paint('dim', 'nothing\n')
  const widths = heading.map((title, column) => Math.max(title.length, ...rows.map((row) => visibleLength(row[column] ?? ''))))
  const format = (row: readonly string[]) =>
    row.map((cell, column) => (column === row.length - 1 ? cell : cell + ' '.repeat(widths[column]! - visibleLength(cell)))).join('  ')
  return `${[paint('bold', format(heading)), ...rows.map(format)].join('\n')}\n`
}

function visibleLength(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ANSI colours begin with one
  return text.replace(/\x1b\[\d+m/g, '').length
}

const STATUS_STYLES: Record<string, keyof typeof ANSI> = {
  succeeded: 'green',
  failed: 'red',
  timed_out: 'red',
  cancelled: 'red',
  waiting: 'yellow',
  paused: 'yellow',
  pending: 'yellow',
  running: 'cyan',
}

/** A status in its colour. */
export function paintStatus(status: string, paint: Paint): string {
  const style = STATUS_STYLES[status]
  return style === undefined ? status : paint(style, status)
}

/** How long ago, as people say it: `12s`, `5m`, `3h`, `2d`. */
export function ago(time: string | null, now = Date.now()): string {
  if (time === null) return '–'
  const seconds = Math.max(0, Math.round((now - Date.parse(time)) / 1_000))
  if (seconds < 120) return `${seconds}s`
  if (seconds < 7_200) return `${Math.round(seconds / 60)}m`
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)}h` : `${Math.round(seconds / 86_400)}d`
}

/** A value as one short line. */
export function brief(value: unknown, max: number): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  const line = text.replace(/\s+/g, ' ')
  return line.length > max ? `${line.slice(0, Math.max(1, max - 1))}…` : line
}
