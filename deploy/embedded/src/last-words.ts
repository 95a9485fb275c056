import { closeSync, fstatSync, openSync, readSync } from 'node:fs'

const TAIL_BYTES = 16 * 1024

/** The line of a log that best says why its program ended: the last error, else the last line; empty when there is none. */
export function lastWords(file: string): string {
  const lines = readTail(file)
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
  const told = lines.map(readable)
  const at = told.findLastIndex((line) => /error|fatal|panic|invalid|refused|missing|required|cannot/i.test(line) && !/^at /.test(line))
  const from = told[at - 1]?.endsWith(':') ? at - 1 : at // a heading and what it announces belong together
  const words = told[from]?.endsWith(':') ? told.slice(from, from + 2).join(' ') : told[from]
  return words ?? told.at(-1) ?? ''
}

function readTail(file: string): string {
  try {
    const fd = openSync(file, 'r')
    const { size } = fstatSync(fd)
    const buffer = Buffer.alloc(Math.min(size, TAIL_BYTES))
    readSync(fd, buffer, 0, buffer.length, size - buffer.length)
    closeSync(fd)
    return buffer.toString('utf8')
  } catch {
    return ''
  }
}

/** The message of a JSON log line with its error; other lines as they are. */
function readable(line: string): string {
  if (!line.startsWith('{')) return line
  try {
    const { msg, err } = JSON.parse(line) as { msg?: string; err?: { message?: string } }
    return [msg, err?.message].filter(Boolean).join(': ') || line
  } catch {
    return line
  }
}
