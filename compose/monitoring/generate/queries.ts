/** The forms of PromQL that panels are made of. */

/** Requests that users made, of the labels of baton_http_request_seconds: those of probes and scrapes would hide how they fare. */
export const OF_USERS = 'job="orchestrator", route!~"/(metrics|health|healthz|ready)"'

/** Per second, over what Grafana finds right for the scrape interval and the width of the panel. */
export function rate(series: string): string {
  return `rate(${series}[$__rate_interval])`
}

/** Per second, summed by some labels. */
export function rateBy(labels: string, series: string): string {
  return `sum by (${labels}) (${rate(series)})`
}

/** A quantile of a histogram, by some labels; `selector` picks series, as `{job="fanout"}`. */
export function quantile(q: number, histogram: string, labels?: string, selector = ''): string {
  const by = labels === undefined ? 'le' : `le, ${labels}`
  return `histogram_quantile(${q}, sum by (${by}) (${rate(`${histogram}_bucket${selector}`)}))`
}

/** Median and 99 % of a histogram that has no labels of interest, as the queries of one panel. */
export function medianAndTail(histogram: string): { expr: string; legend: string }[] {
  return [
    { expr: quantile(0.5, histogram), legend: 'half are faster' },
    { expr: quantile(0.99, histogram), legend: '99 % are faster' },
  ]
}

/** The share of the first in the second; 0 while there is nothing of the first. */
export function share(part: string, whole: string): string {
  return `(sum(${rate(part)}) or vector(0)) / (sum(${rate(whole)}) > 0)`
}

/** A level that every replica tells alike. */
export function level(series: string, labels?: string): string {
  return labels === undefined ? `max(${series})` : `max by (${labels}) (${series})`
}
