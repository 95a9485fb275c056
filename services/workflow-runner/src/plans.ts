/** Plans, compiled once per checksum and kept. */

import type { Json } from '@baton/contracts'
import { compile, type Plan } from '@baton/engine'
import { LRUCache } from 'lru-cache'

const PLANS_MAX = 1_000

/** A stored definition that cannot be executed: there is none, or it no longer compiles. */
export class PlanUnreadable extends Error {
  override readonly name = 'PlanUnreadable'
}

/** A look-up of plans; `read` gives the frozen definition. Throws PlanUnreadable when there is none or it no longer compiles. */
export function createPlans(read: (namespace: string, checksum: string) => Promise<Json | undefined>) {
  const plans = new LRUCache<string, Plan>({ max: PLANS_MAX })
  return async (namespace: string, checksum: string): Promise<Plan> => {
    const key = `${namespace} ${checksum}`
    const known = plans.get(key)
    if (known) return known
    const definition = await read(namespace, checksum)
    if (definition === undefined) throw new PlanUnreadable(`definition ${checksum} is not stored`)
    const { plan, errors } = compile(definition, { stored: true })
    if (!plan) throw new PlanUnreadable(`definition ${checksum} no longer compiles: ${errors[0]?.message}`)
    plans.set(key, plan)
    return plan
  }
}
