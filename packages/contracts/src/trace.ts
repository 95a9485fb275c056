/**
 * W3C Trace Context (https://www.w3.org/TR/trace-context/): a request, the runs it starts and all that follows from them share one trace. Only the
 * traceparent of the request travels; the spans of runs and steps have ids that everybody derives by themselves, so that whoever makes a call, tells
 * an event or exports a span names the same one, and nothing is asked or stored for it.
 */
import { randomHex } from './ids.ts'

/** What a traceparent says. */
export interface TraceContext {
  /** 32 lower-case hex digits. */
  traceId: string
  /** 16 lower-case hex digits. */
  spanId: string
  /** 1: sampled, 2: the trace id is random (Level 2). Others are not passed on. */
  flags: number
}

const TRACEPARENT = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/
const ALL_ZERO = /^0+$/
const KNOWN_FLAGS = 0b11
/** `00-`, a trace id, `-`, a span id, `-`, flags. */
const LENGTH = 55

/** Reads the header of a caller; undefined for anything that the specification says to ignore. */
export function parseTraceparent(header: unknown): TraceContext | undefined {
  const match = typeof header === 'string' ? TRACEPARENT.exec(header) : null
  if (!match) return undefined
  const [, version, traceId, spanId, flags, more] = match as unknown as [string, string, string, string, string, string | undefined]
  // Later versions may say more; ff will never be one.
  if (version === 'ff' || (version === '00' && more !== undefined)) return undefined
  if (ALL_ZERO.test(traceId) || ALL_ZERO.test(spanId)) return undefined
  return { traceId, spanId, flags: Number.parseInt(flags, 16) & KNOWN_FLAGS }
}

/** Writes a traceparent of version 00. */
export function traceparentOf({ traceId, spanId, flags }: TraceContext): string {
  return `00-${traceId}-${spanId}-0${flags}`
}

/** The traceparent of another span of the same trace; undefined where a run has no trace (it was started before there was one). */
export function inTrace(trace: string | null | undefined, spanId: string): string | undefined {
  if (typeof trace !== 'string' || trace.length !== LENGTH) return undefined
  return `00-${trace.slice(3, 36)}${spanId}${trace.slice(52)}`
}

/** The trace id of a traceparent that was made here. */
export function traceIdOf(trace: string): string {
  return trace.slice(3, 35)
}

/** The span id of a traceparent that was made here. */
export function spanIdOf(trace: string): string {
  return trace.slice(36, 52)
}

/** An id for a span that nobody else has to know. */
export function newSpanId(): string {
  const id = randomHex(16)
  return ALL_ZERO.test(id) ? newSpanId() : id
}

/** The span of a run: the random half of its UUIDv7, which its variant keeps from being zero. `runId` is bare. */
export function spanIdOfRun(runId: string): string {
  return runId.slice(19, 23) + runId.slice(24)
}

/** The span of an attempt of a step: a hash of what identifies it. `runId` is bare. */
export function spanIdOfStep(step: { runId: string; path: string; generation: number; attempt: number }): string {
  return hash64(`${step.runId}/${step.path}/${step.generation}/${step.attempt}`)
}

/** Two lanes of 32 bits, each byte mixed by multiplication, then into each other (after cyrb53 of bryc). Half a microsecond; nothing to defend against. */
function hash64(text: string): string {
  let a = 0xdeadbeef
  let b = 0x41c6ce57
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    a = Math.imul(a ^ code, 2_654_435_761)
    b = Math.imul(b ^ code, 1_597_334_677)
  }
  a = Math.imul(a ^ (a >>> 16), 2_246_822_507) ^ Math.imul(b ^ (b >>> 13), 3_266_489_909)
  b = Math.imul(b ^ (b >>> 16), 2_246_822_507) ^ Math.imul(a ^ (a >>> 13), 3_266_489_909)
  // The last bit is set: no span has the id zero.
  return (b >>> 0).toString(16).padStart(8, '0') + ((a | 1) >>> 0).toString(16).padStart(8, '0')
}
