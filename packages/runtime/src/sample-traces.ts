/** Which traces are exported: the samplers of OpenTelemetry by their names, as they are asked for each span that begins a trace or goes on with one. */
import type { SAMPLERS } from './trace-settings.ts'

/** `parentSampled`: what the caller decided; undefined where the trace begins. */
export type Sample = (traceId: string, parentSampled: boolean | undefined) => boolean

const RANDOM_DIGITS = 14
const RANDOM_MAX = 2 ** (4 * RANDOM_DIGITS)

/** A sampler by its name; `ratio` is the share of traces that a ratio sampler takes. */
export function createSampler(name: (typeof SAMPLERS)[number], ratio: number): Sample {
  const root = rootSampler(name.replace('parentbased_', ''), ratio)
  if (!name.startsWith('parentbased_')) return (traceId) => root(traceId)
  return (traceId, parentSampled) => parentSampled ?? root(traceId)
}

/** The ratio counts by the last 56 bits, which are random: so everybody takes the same traces, and more of them at a higher ratio. */
function rootSampler(name: string, ratio: number): (traceId: string) => boolean {
  if (name === 'always_on') return () => true
  if (name === 'always_off') return () => false
  const threshold = (1 - ratio) * RANDOM_MAX
  return (traceId) => ratio > 0 && Number.parseInt(traceId.slice(-RANDOM_DIGITS), 16) >= threshold
}
