import { copyFileSync, existsSync, readdirSync, renameSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'

/** How large a log file may get before it is set aside, and how many are kept of each program. */
export const LOG_BYTES_MAX = 20 * 1024 * 1024
const LOGS_KEPT = 3

/**
 * Sets aside each log that has grown beyond `bytesMax`: name.log → name.log.1 → name.log.2. Programs write straight into their file
 * (opened for appending), so it is copied and emptied in place; what they write in that moment may be lost, their speed is not.
 */
export function rotateLogs(folder: string, bytesMax = LOG_BYTES_MAX): void {
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.log'))) {
    const file = join(folder, name)
    if (statSync(file).size <= bytesMax) continue
    for (let age = LOGS_KEPT - 1; age >= 1; age--) if (existsSync(`${file}.${age}`)) renameSync(`${file}.${age}`, `${file}.${age + 1}`)
    copyFileSync(file, `${file}.1`)
    truncateSync(file)
  }
}
