/** WebSocket frames of fanout (CONTRACT §5). */
import { z } from 'zod'
import { CloudEvent } from './events.ts'

export const ClientFrame = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('subscribe'),
    topic: z.string().min(1).max(300),
    after: z.int().nonnegative().optional(),
    batch: z.boolean().optional(),
  }),
  z.strictObject({ type: z.literal('unsubscribe'), topic: z.string().min(1).max(300) }),
  z.strictObject({ type: z.literal('ping') }),
])
export type ClientFrame = z.infer<typeof ClientFrame>

export const FRAME_ERROR_CODES = [
  'bad_frame',
  'unknown_topic',
  'not_found',
  'forbidden',
  'unsupported',
  'bad_after',
  'gone',
  'unavailable',
] as const
export type FrameErrorCode = (typeof FRAME_ERROR_CODES)[number]

export const ServerFrame = z.discriminatedUnion('type', [
  z.object({ type: z.literal('subscribed'), topic: z.string(), seq: z.int().nonnegative().optional() }),
  z.object({ type: z.literal('unsubscribed'), topic: z.string() }),
  z.object({ type: z.literal('pong') }),
  z.object({ type: z.literal('event'), topic: z.string(), seq: z.int().positive(), event: CloudEvent }),
  z.object({ type: z.literal('events'), topic: z.string(), events: z.array(CloudEvent) }),
  z.object({ type: z.literal('error'), code: z.enum(FRAME_ERROR_CODES), message: z.string(), topic: z.string().optional() }),
])
export type ServerFrame = z.infer<typeof ServerFrame>

export const CLOSE_CODES = { badToken: 4401, tooSlow: 4408, shutdown: 1012 } as const
