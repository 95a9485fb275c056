/** Which version a start takes where a canary has its share. */
import { takesCanary } from '@baton/contracts'
import type { ResolvedVersion } from '@baton/store'

/** The version for this run: that of the canary for `percent` of all run ids, always the same for the same id. */
export function chooseVersion(resolved: ResolvedVersion, runId: string): { version: number; checksum: string } {
  const { canary } = resolved
  return canary && takesCanary(runId, canary.percent) ? canary : resolved
}
