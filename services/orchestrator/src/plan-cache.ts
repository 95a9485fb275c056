/** Compiled definitions. They are frozen and named by their content, so a plan is compiled once and never goes stale. */
import type { Graph, Json } from '@baton/contracts'
import { compile, type Plan } from '@baton/engine'
import { problem } from '@baton/runtime'
import { getDefinition, type Sql } from '@baton/store'
import { LRUCache } from 'lru-cache'

export interface Compiled {
  plan: Plan
  graph: Graph
  definition: Json
}

/** Gives the plan of a definition by namespace, workflow and checksum, from the cache or compiled from Postgres. */
export type GetPlan = (namespace: string, workflow: string, checksum: string) => Promise<Compiled>

/** Makes the cache of this process; it holds definitions of together at most `bytesMax` (as JSON text). */
export function createPlanCache({ sql, bytesMax }: { sql: Sql; bytesMax: number }): GetPlan {
  const cache = new LRUCache<string, Compiled>({
    maxSize: bytesMax,
    maxEntrySize: bytesMax,
    // Compiled, a definition takes several times its text; the setting counts text, which people can measure.
    sizeCalculation: ({ definition }) => JSON.stringify(definition).length,
  })
  const loading = new Map<string, Promise<Compiled>>()

  async function load(namespace: string, workflow: string, checksum: string, key: string): Promise<Compiled> {
    const definition = await getDefinition(sql, namespace, checksum)
    if (definition === undefined) throw problem('BTN_INTERNAL', `definition ${checksum} is not stored`)
    const { plan, graph, errors } = compile(definition, { name: workflow, stored: true })
    if (!plan || !graph) throw problem('BTN_INTERNAL', `definition ${checksum} no longer compiles: ${errors[0]?.message}`)
    const compiled = { plan, graph, definition }
    cache.set(key, compiled)
    return compiled
  }

  return (namespace, workflow, checksum) => {
    const key = `${namespace}/${workflow}/${checksum}`
    const known = cache.get(key)
    if (known) return Promise.resolve(known)
    const underWay = loading.get(key)
    if (underWay) return underWay
    const loaded = load(namespace, workflow, checksum, key).finally(() => loading.delete(key))
    loading.set(key, loaded)
    return loaded
  }
}
