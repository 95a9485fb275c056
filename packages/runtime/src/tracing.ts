/**
 * Spans of what this process does, exported when the settings name a collector. Work never waits for it. While it is off nothing is gathered, and
 * nothing of OpenTelemetry is loaded. Invariant: no attribute holds a secret, the query or the credentials of a URL, or a payload.
 */
import { parseTraceparent, traceIdOf } from '@baton/contracts'
import type { Logger } from './logger.ts'
import { counter, gauge } from './metrics.ts'
import { createSampler, type Sample } from './sample-traces.ts'
import { createSpanQueue, type SpanQueueOptions } from './span-queue.ts'
import type { TraceSettings } from './trace-settings.ts'

/** A span that has ended. */
export interface SpanRecord {
  /** Of few values: no ids. */
  name: string
  kind: 'server' | 'client' | 'internal'
  /** Its own traceparent. */
  trace: string
  parentSpanId?: string | undefined
  /** ms since 1970, fractions allowed. */
  startMs: number
  endMs: number
  /** Names of the semantic conventions of OpenTelemetry, or `baton.…`; undefined ones are left out. */
  attributes: Record<string, string | number | boolean | undefined>
  /** `error.type`: a code. */
  error?: string | undefined
  /** Traceparents of spans of other traces. */
  links?: readonly string[]
}

export interface Tracing {
  /** False: `record` does nothing, and nobody need make spans. */
  readonly exporting: boolean
  /** Whether a trace is exported, asked where it begins or goes on. */
  readonly sample: Sample
  /** Takes a span of a trace that is sampled. Never throws, never waits. */
  record(span: SpanRecord): void
  /** Sends what is left, for at most so long. */
  close(graceMs: number): Promise<void>
}

const exported = counter('baton_spans_exported_total', 'Spans that the collector has taken')
const dropped = counter('baton_spans_dropped_total', 'Spans that were not exported, by the reason', ['reason'])
let waiting = () => 0
gauge('baton_spans_waiting', 'Spans that wait for their export', () => waiting())
const SAY_EVERY_MS = 60_000

/** Never exports; made traces are flagged as sampled. For tests, and for programs without these settings. */
export const NO_TRACING: Tracing = {
  exporting: false,
  sample: createSampler('parentbased_always_on', 1),
  record() {},
  async close() {},
}

/** How the exporter is loaded; a test looks whether it is. */
export type LoadExporter = () => Promise<Pick<typeof import('./export-otlp.ts'), 'createOtlpExporter'>>

/** Begins to export if the settings say where to. `service` is the name of the spans unless they say another one. */
export async function startTracing(
  settings: TraceSettings,
  service: string,
  log: Pick<Logger, 'warn'>,
  load: LoadExporter = () => import('./export-otlp.ts'),
): Promise<Tracing> {
  const sample = createSampler(settings.OTEL_TRACES_SAMPLER, settings.OTEL_TRACES_SAMPLER_ARG)
  if (settings.OTEL_EXPORTER_OTLP_ENDPOINT === undefined) return { ...NO_TRACING, sample }
  const { createOtlpExporter } = await load()
  const exporter = createOtlpExporter(settings, service)
  const queue = createSpanQueue<SpanRecord>({
    send: exporter.send,
    queueMax: settings.OTEL_BSP_MAX_QUEUE_SIZE,
    batchMax: settings.OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
    delayMs: settings.OTEL_BSP_SCHEDULE_DELAY,
    onSent: (count) => exported.inc(count),
    onDropped: reportDrops(log),
  })
  waiting = () => queue.size
  return {
    exporting: true,
    sample,
    record(span) {
      const parent = parseTraceparent(span.trace)
      if (parent && sample(traceIdOf(span.trace), (parent.flags & 1) === 1)) queue.push(span)
    },
    async close(graceMs) {
      await queue.close(graceMs)
      exporter.close()
    },
  }
}

/** Counts each, says so once a minute. What the collector answered is not shown: it may hold what was sent. */
function reportDrops(log: Pick<Logger, 'warn'>): SpanQueueOptions<SpanRecord>['onDropped'] {
  let quietUntil = 0
  return (count, reason, error) => {
    dropped.inc({ reason }, count)
    if (Date.now() < quietUntil) return
    quietUntil = Date.now() + SAY_EVERY_MS
    log.warn({ reason, count, code: codeOf(error) }, 'spans were dropped')
  }
}

function codeOf(error: unknown): string | undefined {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown }
  return code === undefined ? (name as string | undefined) : String(code)
}

/** What logs say of where work comes from. */
export function originOf(work: { trace?: string | null; requestId?: string | null }): { traceId?: string; requestId?: string } {
  return {
    ...(work.trace ? { traceId: traceIdOf(work.trace) } : {}),
    ...(work.requestId ? { requestId: work.requestId } : {}),
  }
}
