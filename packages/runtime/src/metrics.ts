/** Prometheus metrics of this process. Names are `baton_<noun>_<unit>`; labels come from enums, never from ids. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Counter, collectDefaultMetrics, Gauge, Histogram, register } from 'prom-client'

/** Default buckets in seconds: 1 ms to 60 s. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

let collecting = false

/** prom-client looks at the event loop by a timer; ours takes its place, so that one never fires. */
const NEVER_MS = 2 ** 31 - 1

/** Starts the metrics of Node (memory, CPU, event loop); once a process. */
export function collectProcessMetrics(): void {
  if (collecting) return
  collecting = true
  collectDefaultMetrics({ eventLoopMonitoringPrecision: NEVER_MS })
  collectEventLoopLag()
}

/**
 * How long the turns of the event loop take, which is how late others get to their work. Measured as they pass: by a timer of 100 ms, six services at
 * rest spent half a hundredth of a core on nothing else.
 */
function collectEventLoopLag(): void {
  const turns = monitorEventLoopDelay({ samplePerIteration: true } as { resolution?: number })
  turns.enable()
  const values: Record<string, () => number> = {
    mean: () => turns.mean,
    p50: () => turns.percentile(50),
    p90: () => turns.percentile(90),
    p99: () => turns.percentile(99),
    max: () => turns.max,
  }
  for (const kind of ['_min', '_max', '_mean', '_stddev', '_p50', '_p90', '_p99', ''])
    register.removeSingleMetric(`nodejs_eventloop_lag${kind}_seconds`)
  for (const [kind, nanoseconds] of Object.entries(values)) {
    new Gauge({
      name: `nodejs_eventloop_lag_${kind}_seconds`,
      help: `Time of a turn of the event loop since the last scrape, ${kind}`,
      collect() {
        this.set(turns.count > 0 ? nanoseconds() / 1e9 : 0)
        if (kind === 'max') turns.reset() // registered last, so it is read last
      },
    })
  }
}

/** A counter `baton_<noun>_total`; asking twice for a name gives the same one. */
export function counter<Label extends string = never>(
  name: `baton_${string}_total`,
  help: string,
  labelNames: readonly Label[] = [],
): Counter<Label> {
  const known = register.getSingleMetric(name) as Counter<Label> | undefined
  return known ?? new Counter({ name, help, labelNames })
}

/** A histogram `baton_<noun>_<unit>`; seconds from 1 ms to 60 s unless told. */
export function histogram<Label extends string = never>(
  name: `baton_${string}`,
  help: string,
  labelNames: readonly Label[] = [],
  buckets: number[] = SECONDS,
): Histogram<Label> {
  const known = register.getSingleMetric(name) as Histogram<Label> | undefined
  return known ?? new Histogram({ name, help, labelNames, buckets })
}

/** A gauge `baton_<noun>_<unit>`; with `read` it is asked when somebody scrapes, which costs nothing in between. */
export function gauge<Label extends string = never>(
  name: `baton_${string}`,
  help: string,
  read?: () => number,
  labelNames: readonly Label[] = [],
): Gauge<Label> {
  register.removeSingleMetric(name)
  return new Gauge({
    name,
    help,
    labelNames,
    ...(read
      ? {
          collect() {
            this.set(read())
          },
        }
      : {}),
  })
}

/** Values of one gauge: a number, or one for each set of labels. */
export type Levels = number | readonly { labels: Record<string, string>; value: number }[]

export interface AskedGauge {
  help: string
  labelNames?: readonly string[]
}

/** Longest wait of a scrape for what is asked: whoever scrapes gives up after 10 s, and /ready gives its checks 2 s. */
const ASK_MS_MAX = 2_500
/** What was asked for is shown again to whoever scrapes within this time: two scrapers do not cost twice. */
const KEEP_MS = 1_000

/**
 * Gauges whose values others know (Postgres, Redis). They are asked for when somebody scrapes, once for all of them, never twice at once and not
 * for longer than `timeoutMs`. While nothing is known of a gauge it is absent.
 */
export function askedGauges<Name extends `baton_${string}`>(
  gauges: Record<Name, AskedGauge>,
  ask: () => Promise<Partial<Record<Name, Levels>>>,
  { timeoutMs = ASK_MS_MAX, keepMs = KEEP_MS }: { timeoutMs?: number; keepMs?: number } = {},
): void {
  const read = shareAnswer(ask, timeoutMs, keepMs)
  for (const [name, { help, labelNames = [] }] of Object.entries(gauges) as [Name, AskedGauge][]) {
    register.removeSingleMetric(name)
    new Gauge({
      name,
      help,
      labelNames,
      async collect() {
        const levels: Levels | undefined = (await read())[name]
        this.reset()
        if (levels === undefined)
          this.remove({}) // a gauge without labels would show 0
        else if (typeof levels === 'number') this.set(levels)
        else for (const { labels, value } of levels) this.set(labels, value)
      },
    })
  }
}

/** One question at a time; everybody waits for its answer, though not for long: an empty one then says that nothing is known. */
function shareAnswer<Answer extends object>(ask: () => Promise<Answer>, timeoutMs: number, keepMs: number): () => Promise<Partial<Answer>> {
  let asking: Promise<Partial<Answer>> | undefined
  let kept: { answer: Partial<Answer>; until: number } | undefined
  const begin = () =>
    ask()
      .then((answer) => {
        kept = { answer, until: performance.now() + keepMs }
        return answer
      })
      .catch((): Partial<Answer> => ({}))
      .finally(() => {
        asking = undefined
      })
  return async () => {
    if (kept && performance.now() < kept.until) return kept.answer
    asking ??= begin()
    const late = Promise.withResolvers<Partial<Answer>>()
    const timer = setTimeout(() => late.resolve({}), timeoutMs)
    return Promise.race([asking, late.promise]).finally(() => clearTimeout(timer))
  }
}

/** All metrics in the text format of Prometheus. */
export async function metricsText(): Promise<{ contentType: string; text: string }> {
  return { contentType: register.contentType, text: await register.metrics() }
}

/** What a metric is, without its values. */
export interface MetricDescription {
  name: string
  type: string
  help: string
  labelNames: readonly string[]
}

/** All metrics that this process has registered so far, in that order: docs/metrics.md is made of them. */
export function describeMetrics(): MetricDescription[] {
  const metrics = register.getMetricsAsArray() as unknown as MetricDescription[]
  return metrics.map(({ name, type, help, labelNames }) => ({ name, type, help, labelNames }))
}
