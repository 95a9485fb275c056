/** The BullMQ queues, once for both ends: name, shape, identity and how often a job that fails is delivered. */
import type { z } from 'zod'
import { AgentTurn, Notification } from './wire.ts'

interface Queue<Job> {
  name: string
  schema: z.ZodType<Job>
  /** Adding a job whose id waits or runs does nothing, so that sending again after a crash is safe. */
  id(job: Job): string
  /** Deliveries of a job that fails, the first included; with exponential backoff between them. */
  attempts: number
}

/** Runner → agent-runner. Retries that users see are attempts of the engine: deliveries here cover crashes and infrastructure alone. */
export const AGENT_TURNS: Queue<AgentTurn> = {
  name: 'agent-turns',
  schema: AgentTurn,
  id: (turn) => `${turn.runId}.${turn.path}.${turn.generation}.${turn.attempt}`,
  attempts: 3,
}

/** Runner and hitl-worker → hitl-worker. Ten deliveries take some seventeen minutes; an approval still pending then is queued afresh. */
export const NOTIFICATIONS: Queue<Notification> = {
  name: 'notifications',
  schema: Notification,
  id: (notification) => notification.approvalId,
  attempts: 10,
}
