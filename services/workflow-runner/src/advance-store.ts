/** Postgres as the hot path sees it. */
import type { RunState } from '@baton/engine'
import {
  commitBatchBisecting,
  getBlobs,
  getDefinition,
  isTransient,
  listAllVars,
  loadInbox,
  loadRuns,
  noteBlobUses,
  putBlobs,
  type Sql,
} from '@baton/store'
import type { AdvanceStore } from './advance.ts'
import type { ServerClock } from './clock.ts'
import { findChildren } from './find-children.ts'
import { foldRun } from './load-run.ts'
import type { Metrics } from './metrics.ts'
import { createPlans } from './plans.ts'

/** The store behind `advanceRuns`, measured; each commit also sets the clock. `states` leaves out the runs that cannot be read. */
export function createAdvanceStore(
  sql: Sql,
  clock: ServerClock,
  metrics: Metrics,
): AdvanceStore & { states(runIds: string[]): Promise<RunState[]> } {
  const plan = createPlans((namespace, checksum) => getDefinition(sql, namespace, checksum))
  const load: AdvanceStore['loadRuns'] = (runIds, options) => loadRuns(sql, runIds, options)
  return {
    plan,
    loadRuns: load,
    loadInbox: (runIds) => loadInbox(sql, runIds),
    async commit(batch) {
      const startedAt = performance.now()
      const askedAt = clock.local()
      const outcome = await commitBatchBisecting(sql, batch).catch((error: unknown) => {
        metrics.commitFailures.inc()
        throw error
      })
      clock.observe(outcome.at, askedAt)
      metrics.commitSeconds.observe((performance.now() - startedAt) / 1_000)
      return outcome
    },
    getBlobs: (namespace, blobs) => getBlobs(sql, namespace, blobs),
    putBlobs: (namespace, blobs) => putBlobs(sql, namespace, blobs),
    noteBlobUses: (uses) => noteBlobUses(sql, uses),
    vars: (namespace) => listAllVars(sql, namespace),
    workflows: (namespace, children) => findChildren(sql, plan, namespace, children),
    async states(runIds) {
      const states: RunState[] = []
      for (const loaded of (await load(runIds)).values()) {
        try {
          states.push(await foldRun({ loadRuns: load }, await plan(loaded.header.namespace, loaded.header.checksum), loaded))
        } catch (error) {
          if (isTransient(error)) throw error
        }
      }
      return states
    },
  }
}
