/** docs/metrics.md, from the registrations. */
import type { RegisteredMetric } from './registered-metrics.ts'

/** Those that other systems than Linux do not have: the page is the same wherever it is made. */
const LINUX_ONLY = ['process_heap_bytes', 'process_max_fds', 'process_open_fds', 'process_virtual_memory_bytes']

const TITLES: Record<string, string> = { 'every service': 'In every service', 'those that do it': 'In the services that do it' }

/** Not ours: what prom-client tells of Node and of the process. */
const isOfProcess = ({ name }: RegisteredMetric) => !name.startsWith('baton_')

/** The whole page as Markdown. */
export function metricsPage(metrics: readonly RegisteredMetric[]): string {
  const services = [...new Set(metrics.map(({ service }) => service))]
  const sections = services.map((service) =>
    sectionOf(
      service,
      metrics.filter((metric) => metric.service === service && !isOfProcess(metric)),
    ),
  )
  return `# Metrics

Generated from what the services register by \`npm run generate\`; do not edit.

Each service answers \`GET /metrics\` on its port in the text format of Prometheus; no key is asked for, so the ports of the workers stay inside the
network. [compose/monitoring](../compose/monitoring/README.md) holds a configuration of Prometheus, alerts and four dashboards of Grafana.

- Units are seconds and bytes; counters end in \`_total\`; a histogram \`x\` has the series \`x_bucket\`, \`x_count\` and \`x_sum\`.
- Labels come from lists that the code knows (states, kinds, outcomes, error codes, routes): never ids, nor names of workflows, people or hosts.
- What Postgres and Redis know is asked for when somebody scrapes, by index and up to a bound, within two seconds. While it cannot be had the metric is
  absent; \`baton_dependency_up\` says why. Every replica tells the same levels (\`baton_runs\`, \`baton_stream_…\`, \`baton_jobs…\`, \`baton_inbox_…\`,
  \`baton_timers…\`, \`baton_approvals_…\`, \`baton_tasks…\`, \`baton_redis_…\`, \`baton_database_bytes\`): take their \`max\`, not their \`sum\`.

${sections.join('\n\n')}

## Of the process, in every service

CPU, memory, event loop and garbage collection, as [prom-client](https://github.com/siimon/prom-client#default-metrics) names them. On Linux also
${LINUX_ONLY.map((name) => `\`${name}\``).join(', ')}.

${tableOf(metrics.filter((metric) => isOfProcess(metric) && !LINUX_ONLY.includes(metric.name)))}
`
}

function sectionOf(service: string, metrics: readonly RegisteredMetric[]): string {
  return `## ${TITLES[service] ?? service}\n\n${tableOf(metrics)}`
}

function tableOf(metrics: readonly RegisteredMetric[]): string {
  const rows = metrics.map(({ name, type, labelNames, help, service }) => {
    const labels = labelNames.length === 0 ? '–' : labelNames.map((label) => `\`${label}\``).join(', ')
    return `| \`${name}\` | ${type} | ${labels} | ${help.replaceAll('|', '\\|')} | ${service} |`
  })
  return ['| name | type | labels | what it tells | service |', '|---|---|---|---|---|', ...rows].join('\n')
}
