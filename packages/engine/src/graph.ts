/** The graph of a plan, for validation answers and pictures. */
import type { Graph } from '@baton/contracts'
import type { Plan, PlanStep, Scope } from './plan.ts'

/** Nodes and edges of a plan, containers before what is in them. */
export function graphOf(plan: Plan): Graph {
  const graph: Graph = { nodes: [], edges: [] }
  addScope(graph, plan.root, null, new Set())
  return graph
}

function addScope(graph: Graph, scope: Scope, parent: string | null, seen: Set<string>): void {
  const pathOf = (step: PlanStep) => (parent === null ? step.id : `${parent}.${step.id}`)
  for (const step of scope.steps) {
    const id = pathOf(step)
    // Two cases of a switch may use the same id: they are one node.
    if (!seen.has(id)) graph.nodes.push({ id, kind: step.kind, name: step.name, parent })
    seen.add(id)
    for (const { index, require } of step.needs) graph.edges.push({ from: pathOf(scope.steps[index]!), to: id, require })
    for (const inner of innerScopes(step)) addScope(graph, inner, id, seen)
  }
}

/** The scopes inside a step: the cases of a switch in order, its default last. */
export function innerScopes({ body }: Pick<PlanStep, 'body'>): Scope[] {
  if (body.kind === 'switch') return [...body.cases.map((branch) => branch.scope), ...(body.default ? [body.default] : [])]
  return body.kind === 'forEach' || body.kind === 'loop' ? [body.scope] : []
}
