import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { identify, isAlive, type ProcessIdentity } from './process-identity.ts'
import { explainFileError } from './stack-problem.ts'
import { waitUntil } from './stop-process.ts'

/**
 * Holds the lock file until the result is called; waits while a living process holds it, and `onWait` is told once whose turn it is.
 * A lock whose holder died is taken over.
 */
export async function takeLock(file: string, onWait: (holderPid: number) => void): Promise<() => void> {
  const mine = `${file}.${process.pid}`
  const self = identify(process.pid)
  try {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(mine, JSON.stringify(self))
    let told = false
    await waitUntil(
      () => {
        if (tryLink(mine, file)) return true
        const holder = readHolder(file)
        if (holder && isAlive(holder)) {
          if (!told) onWait(holder.pid)
          told = true
        } else removeStale(file)
        return false
      },
      Number.POSITIVE_INFINITY,
      100,
    )
  } catch (error) {
    throw explainFileError(error, dirname(file))
  } finally {
    rmSync(mine, { force: true })
  }
  return () => rmSync(file, { force: true })
}

/** A link appears with its content at once, so a lock can never be seen without its holder. */
function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

function readHolder(file: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessIdentity
  } catch {
    return undefined
  }
}

/** Takes the stale lock aside first: if it turns out to be a newer one of a living holder, it is put back. */
function removeStale(file: string): void {
  const aside = `${file}.stale.${process.pid}`
  try {
    renameSync(file, aside)
  } catch {
    return // somebody else did
  }
  const holder = readHolder(aside)
  if (holder && isAlive(holder)) tryLink(aside, file)
  rmSync(aside, { force: true })
}
