/** The BullMQ queues of Baton, defined once for both ends. */
import { AgentTurn, Notification } from '@baton/contracts'
import { defineQueue } from './queues.ts'

/** Turns of agent steps, from the workflow-runner to agent-runners. */
export const agentTurns = defineQueue({
  name: 'agent-turns',
  schema: AgentTurn,
  id: (turn) => `${turn.runId}.${turn.path}.${turn.generation}.${turn.attempt}`,
})

/** Approvals that people are to be told of, from the workflow-runner to hitl-workers. */
export const notifications = defineQueue({
  name: 'notifications',
  schema: Notification,
  id: (notification) => `approval.${notification.approvalId}`,
  // Some seventeen minutes; an approval that is still pending then is queued afresh by the hitl-worker.
  attempts: 10,
})
