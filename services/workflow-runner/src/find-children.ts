/** What the `workflow` steps of a plan would start at this moment. */
import { type ChildRef, type ChildTarget, childKeyOf } from '@baton/engine'
import { resolveVersion, type Sql } from '@baton/store'
import type { AdvanceStore } from './advance.ts'
import { PlanUnreadable } from './plans.ts'

/** By childKeyOf; what does not exist, is archived or cannot be read is missing. */
export async function findChildren(
  sql: Sql,
  plan: AdvanceStore['plan'],
  namespace: string,
  children: readonly ChildRef[],
): Promise<ReadonlyMap<string, ChildTarget>> {
  const found = new Map<string, ChildTarget>()
  for (const child of children) {
    const version = await resolveVersion(sql, namespace, child.name, child)
    if (!version || version.archived) continue
    const target = await targetOf(plan, namespace, version)
    const canary = version.canary && (await targetOf(plan, namespace, version.canary))
    if (target) found.set(childKeyOf(child), canary ? { ...target, canary: { ...canary, percent: version.canary!.percent } } : target)
  }
  return found
}

async function targetOf(
  plan: AdvanceStore['plan'],
  namespace: string,
  { version, checksum }: { version: number; checksum: string },
): Promise<ChildTarget | undefined> {
  try {
    const { input, timeoutMs } = await plan(namespace, checksum)
    return { version, checksum, ...(input === undefined ? {} : { input }), ...(timeoutMs === undefined ? {} : { timeoutMs }) }
  } catch (error) {
    if (error instanceof PlanUnreadable) return undefined
    throw error
  }
}
