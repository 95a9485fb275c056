/** RFC 9457 problem details: the one shape of every error answer. */
import { z } from 'zod'

export const ProblemError = z.object({
  pointer: z.string().describe('JSON Pointer (RFC 6901) from the start of the request body, or `/query/<name>`, `/headers/<name>`'),
  message: z.string(),
  line: z.int().positive().optional(),
  column: z.int().positive().optional(),
})
export type ProblemError = z.infer<typeof ProblemError>

export const Problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.string(),
  instance: z.string(),
  errors: z.array(ProblemError).optional(),
})
export type Problem = z.infer<typeof Problem>
