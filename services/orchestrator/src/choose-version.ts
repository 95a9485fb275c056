/** Which version a start takes where a canary has its share. */
import { hash } from 'node:crypto'
import type { ResolvedVersion } from '@baton/store'

const SHARES = 10_000

/** The version for this run: that of the canary for `percent` of all run ids, always the same for the same id. */
export function chooseVersion(resolved: ResolvedVersion, runId: string): { version: number; checksum: string } {
  const { canary } = resolved
  return canary && shareOf(runId) < (canary.percent / 100) * SHARES ? canary : resolved
}

/** A number below SHARES, evenly spread over ids: those of runs count up, so they are hashed. */
function shareOf(runId: string): number {
  return Number.parseInt(hash('sha256', `canary ${runId}`).slice(0, 12), 16) % SHARES
}
