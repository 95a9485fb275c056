import { newSpanId, randomHex } from '@baton/contracts'

/** A traceparent of a trace that nobody else has. */
export const traced = (flags = '01') => `00-${randomHex(32)}-${newSpanId()}-${flags}`
