/** `?wait=30s`: answers that are held back until a run has ended. */
import { LIMITS, parseDuration } from '@baton/contracts'
import { problem } from '@baton/runtime'
import type { FastifyReply } from 'fastify'
import { z } from 'zod'
import type { RunWaiters } from './run-waiters.ts'

/** The query of routes that can wait; `wait` comes out in milliseconds. */
export const WaitQuery = z.strictObject({
  wait: z
    .string()
    .refine((text) => parseDuration(text) !== undefined, 'not a duration: write 500ms, 30s or PT30S')
    .refine((text) => (parseDuration(text) ?? 0) <= LIMITS.waitMsMax, `at most ${LIMITS.waitMsMax / 1000}s`)
    .transform((text) => parseDuration(text) ?? 0)
    .optional()
    .describe('wait for the end of the run, at most 60s'),
})

/**
 * Does something and then waits until the run (bare UUID) has ended, the time is up, the client went away or the service stops. The place is
 * taken first, so that no end falls between; when `act` says that there is nothing to wait for, it returns at once. 429 when no place is free.
 */
export async function actAndWait<T>(
  waiters: RunWaiters,
  reply: FastifyReply,
  wait: { runId: string; ms: number | undefined },
  act: () => Promise<{ result: T; isOver: boolean }>,
): Promise<T> {
  if (!wait.ms) return (await act()).result
  const waiting = waiters.wait(wait.runId, wait.ms)
  if (!waiting) throw problem('BTN_TOO_MANY_REQUESTS', 'too many requests are waiting for runs to end', { headers: { 'retry-after': '1' } })
  const onClose = () => {
    if (!reply.raw.writableFinished) waiting.leave()
  }
  reply.raw.once('close', onClose)
  try {
    const { result, isOver } = await act()
    if (!isOver) await waiting.done
    return result
  } finally {
    waiting.leave()
    reply.raw.removeListener('close', onClose)
  }
}
