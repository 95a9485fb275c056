/** The manifests that helm made of the chart, as they lie in deploy/helm/rendered. */
import { parseAllDocuments } from 'yaml'
import { read } from './deploy-settings.ts'

/** As much of a Kubernetes object as the tests look at. */
export interface Manifest {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace: string; labels: Record<string, string>; annotations?: Record<string, string> }
  spec: Spec
  data?: Record<string, string>
}
// biome-ignore lint/suspicious/noExplicitAny: whatever Kubernetes has; the tests read it as JSON
export type Spec = Record<string, any>

/** Every object of a rendering; throws on YAML that is not clean. */
export function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text).flatMap((document) => {
    const [problem] = [...document.errors, ...document.warnings]
    if (problem) throw problem
    return document.toJS() === null ? [] : [document.toJS() as Manifest]
  })
}

/** The stored rendering of `ci/<name>-values.yaml`. */
export const rendering = (name: string) => parseManifests(read(`deploy/helm/rendered/${name}.yaml`))

/** Those of one kind, by the service or part that they belong to. */
export function byComponent(manifests: readonly Manifest[], kind: string): Record<string, Manifest> {
  const chosen = manifests.filter((manifest) => manifest.kind === kind)
  return Object.fromEntries(chosen.map((manifest) => [manifest.metadata.labels['app.kubernetes.io/component'] ?? '', manifest]))
}

/** The pod that a Deployment, Job or Pod makes. */
export function podOf({ kind, spec }: Manifest): Spec {
  return kind === 'Pod' ? spec : spec['template'].spec
}

/** Its environment by name. */
export function environmentOf(pod: Spec): Record<string, string> {
  return Object.fromEntries(pod['containers'][0].env.map((entry: { name: string; value: string }) => [entry.name, entry.value]))
}

/** MiB of `1Gi`, `512Mi`, `768M`. */
export function mibOf(quantity: string): number {
  const units: Record<string, number> = { Mi: 2 ** 20, Gi: 2 ** 30, M: 1e6, G: 1e9 }
  const [, amount, unit] = /^(\d+)(Mi|Gi|M|G)$/.exec(quantity) ?? []
  return (Number(amount) * units[unit ?? '']!) / 2 ** 20
}
