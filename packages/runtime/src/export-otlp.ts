/** Spans in the words of OpenTelemetry, sent by OTLP over HTTP. The one module that loads OpenTelemetry: imported only when an endpoint is set. */

import { parseTraceparent, type TraceContext } from '@baton/contracts'
import { SpanKind, SpanStatusCode } from '@opentelemetry/api'
import { createOtlpHttpExportDelegate, httpAgentFactoryFromOptions } from '@opentelemetry/otlp-exporter-base/node-http'
import { JsonTraceSerializer, ProtobufTraceSerializer, TraceExporterMetricsHelper } from '@opentelemetry/otlp-transformer'
import { resourceFromAttributes } from '@opentelemetry/resources'
import type { TraceSettings } from './trace-settings.ts'
import type { SpanRecord } from './tracing.ts'
import { REPLICA, VERSION } from './version.ts'

type OtlpSpan = Parameters<typeof JsonTraceSerializer.serializeRequest>[0][number]

export interface OtlpExporter {
  /** Rejects when the collector did not take them, after the tries that the time allows. */
  send(spans: SpanRecord[]): Promise<void>
  close(): void
}

const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL } as const
const SCOPE = { name: 'baton', version: VERSION }
/** `ExportResultCode.SUCCESS` of a package that is not ours to name. */
const SUCCESS = 0

/** Makes an exporter to the endpoint of the settings, which is given. */
export function createOtlpExporter(settings: TraceSettings, service: string): OtlpExporter {
  const isJson = settings.OTEL_EXPORTER_OTLP_PROTOCOL === 'http/json'
  const headers = {
    ...settings.OTEL_EXPORTER_OTLP_HEADERS,
    'Content-Type': isJson ? 'application/json' : 'application/x-protobuf',
  }
  const options = {
    url: `${settings.OTEL_EXPORTER_OTLP_ENDPOINT!.replace(/\/$/, '')}/v1/traces`,
    headers: async () => headers,
    timeoutMillis: settings.OTEL_EXPORTER_OTLP_TIMEOUT,
    concurrencyLimit: 1,
    compression: settings.OTEL_EXPORTER_OTLP_COMPRESSION as never, // a type of theirs with these two values
    agentFactory: httpAgentFactoryFromOptions({ keepAlive: true }),
    userAgent: `baton/${VERSION}`,
  }
  const serializer = isJson ? JsonTraceSerializer : ProtobufTraceSerializer
  const delegate = createOtlpHttpExportDelegate(options, serializer, 'baton', TraceExporterMetricsHelper, undefined)
  const resource = resourceFromAttributes({
    'service.name': settings.OTEL_SERVICE_NAME ?? service,
    'service.namespace': 'baton',
    'service.version': VERSION,
    'service.instance.id': REPLICA,
    ...settings.OTEL_RESOURCE_ATTRIBUTES,
  })
  return {
    send: (spans) =>
      new Promise((resolve, reject) => {
        const written = spans.map((span) => otlpSpanOf(span, resource))
        delegate.export(written, ({ code, error }) => (code === SUCCESS ? resolve() : reject(error)))
      }),
    close: () => void delegate.shutdown().catch(() => {}),
  }
}

function otlpSpanOf(span: SpanRecord, resource: OtlpSpan['resource']): OtlpSpan {
  const own = contextOf(span.trace)
  const durationMs = Math.max(0, span.endMs - span.startMs)
  return {
    name: span.name,
    kind: KINDS[span.kind],
    spanContext: () => own,
    ...(span.parentSpanId === undefined ? {} : { parentSpanContext: { ...own, spanId: span.parentSpanId, isRemote: true } }),
    startTime: hrTime(span.startMs),
    endTime: hrTime(span.startMs + durationMs),
    duration: hrTime(durationMs),
    status: { code: span.error === undefined ? SpanStatusCode.UNSET : SpanStatusCode.ERROR },
    attributes: attributesOf(span),
    links: (span.links ?? []).map((link) => ({ context: contextOf(link) })),
    events: [],
    ended: true,
    resource,
    instrumentationScope: SCOPE,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  }
}

/** An attribute without a value is none. */
function attributesOf({ attributes, error }: SpanRecord): OtlpSpan['attributes'] {
  const all = { ...attributes, 'error.type': error }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}

function contextOf(trace: string) {
  const { traceId, spanId, flags } = parseTraceparent(trace) as TraceContext
  return { traceId, spanId, traceFlags: flags }
}

/** Seconds and nanoseconds. */
function hrTime(ms: number): [number, number] {
  const seconds = Math.floor(ms / 1_000)
  return [seconds, Math.round((ms - seconds * 1_000) * 1e6)]
}
