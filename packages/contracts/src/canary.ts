/** The share of runs that take the version of the tag `canary`. */
import { hash } from 'node:crypto'

const SHARES = 10_000

/** True for `percent` of all runs, by their ids: always the same for the same id, and a larger share holds the smaller one. */
export function takesCanary(runId: string, percent: number): boolean {
  return shareOf(runId) < (percent / 100) * SHARES
}

/** A number below SHARES, evenly spread over ids: those of runs count up, so they are hashed. */
function shareOf(runId: string): number {
  return Number.parseInt(hash('sha256', `canary ${runId}`).slice(0, 12), 16) % SHARES
}
