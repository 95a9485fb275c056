/** Callbacks: what a service that was called posts when it is done. */
import { z } from 'zod'
import { RunId } from './ids.ts'

/** The answer to a callback that counts. */
export const CallbackAccepted = z.object({ run: RunId, step: z.string().describe('path of the step') })
export type CallbackAccepted = z.infer<typeof CallbackAccepted>
