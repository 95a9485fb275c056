/** What docs/metrics.md says there is, and what an expression of PromQL asks for. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '../..')

export interface DocumentedMetric {
  type: string
  labels: string[]
  service: string
}

/** The rows of docs/metrics.md by name. */
export function documentedMetrics(): Map<string, DocumentedMetric> {
  const page = readFileSync(join(ROOT, 'docs/metrics.md'), 'utf8')
  const rows = [...page.matchAll(/^\| `(\w+)` \| (\w+) \| (.*?) \| .* \| ([\w -]+) \|$/gm)]
  return new Map(
    rows.map(([, name, type, labels, service]) => [
      name!,
      { type: type!, labels: [...labels!.matchAll(/`(\w+)`/g)].map((match) => match[1]!), service: service! },
    ]),
  )
}

/** Labels that Prometheus itself gives. */
const LABELS_OF_PROMETHEUS = ['job', 'instance']
/** Series that Prometheus itself writes. */
const SERIES_OF_PROMETHEUS: Record<string, string[]> = { up: [], ALERTS: ['alertname', 'alertstate', 'severity'] }
/** What is asked for of the exporters of Postgres and Redis: their own names, which their documentation lists, and the labels that are used here. */
export const SERIES_OF_EXPORTERS: Record<string, string[]> = {
  pg_up: [],
  pg_stat_database_numbackends: ['datname'],
  pg_stat_database_deadlocks: ['datname'],
  pg_stat_database_blks_hit: ['datname'],
  pg_stat_database_blks_read: ['datname'],
  pg_stat_activity_max_tx_duration: ['datname', 'state'],
  pg_settings_max_connections: [],
  redis_up: [],
  redis_connected_clients: [],
  redis_commands_processed_total: [],
  redis_evicted_keys_total: [],
  redis_rejected_connections_total: [],
  redis_aof_last_write_status: [],
  redis_aof_last_bgrewrite_status: [],
}
const WORDS = new Set(['and', 'or', 'unless', 'offset', 'bool'])

/** Labels of each series name that may be asked for: histograms have three names. */
export function seriesOf(metrics: ReadonlyMap<string, DocumentedMetric>): Map<string, string[]> {
  const series = new Map(Object.entries({ ...SERIES_OF_PROMETHEUS, ...SERIES_OF_EXPORTERS }))
  for (const [name, { type, labels }] of metrics) {
    if (type !== 'histogram') series.set(name, labels)
    else for (const suffix of ['bucket', 'count', 'sum']) series.set(`${name}_${suffix}`, suffix === 'bucket' ? [...labels, 'le'] : labels)
  }
  return series
}

/** What an expression asks for and nobody has: series, labels of a series, labels that are grouped by. */
export function unknownIn(expr: string, series: ReadonlyMap<string, readonly string[]>): string[] {
  const unknown: string[] = []
  const seen = new Set(LABELS_OF_PROMETHEUS)
  const grouped: string[] = []
  const bare = expr
    .replaceAll(/"[^"]*"/g, '""')
    .replaceAll(/\$\w+/g, '1m')
    .replaceAll(/\b(by|on|without|ignoring) *\(([^)]*)\)/g, (_, _word, labels: string) => {
      grouped.push(...labels.split(',').map((label) => label.trim()))
      return ''
    })
  for (const [, name, selector = ''] of bare.matchAll(/\b([a-zA-Z_]\w*)\b(?! *\()(?:\{([^}]*)\})?/g)) {
    if (WORDS.has(name!)) continue
    const labels = series.get(name!)
    if (!labels) unknown.push(name!)
    for (const label of labels ?? []) seen.add(label)
    const asked = [...selector.matchAll(/(\w+) *(?:=~|!~|!=|=)/g)].map((match) => match[1]!)
    unknown.push(
      ...asked.filter((label) => ![...LABELS_OF_PROMETHEUS, ...(labels ?? [])].includes(label)).map((label) => `${name}{${label}}`),
    )
  }
  return [...unknown, ...grouped.filter((label) => label !== '' && !seen.has(label)).map((label) => `by (${label})`)]
}
