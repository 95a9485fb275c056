/** Prometheus metrics of this process. Names are `baton_<noun>_<unit>`; labels come from enums, never from ids. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, register } from 'prom-client'

/** Default buckets in seconds: 1 ms to 60 s. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

let collecting = false

/** Starts the metrics of Node (memory, CPU, event loop); once a process. Sampling each 100 ms keeps an idle process idle. */
export function collectProcessMetrics(): void {
  if (collecting) return
  collecting = true
  collectDefaultMetrics({ eventLoopMonitoringPrecision: 100 })
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
export function gauge(name: `baton_${string}`, help: string, read?: () => number): Gauge {
  register.removeSingleMetric(name)
  return new Gauge({
    name,
    help,
    ...(read
      ? {
          collect() {
            this.set(read())
          },
        }
      : {}),
  })
}

/** All metrics in the text format of Prometheus. */
export async function metricsText(): Promise<{ contentType: string; text: string }> {
  return { contentType: register.contentType, text: await register.metrics() }
}
