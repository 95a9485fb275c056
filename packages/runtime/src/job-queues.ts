/** The queues of slow work; both ends take them from here. */
import { AgentTurn, Notification } from '@baton/contracts'
import { defineQueue } from './queues.ts'

/** Turns of agents, towards the agent-runner. */
export const agentTurns = defineQueue({
  name: 'agent-turns',
  schema: AgentTurn,
  id: (turn) => `${turn.runId}.${turn.path}.${turn.generation}.${turn.attempt}`,
})

/** Approvals that people are to be told of, towards the hitl-worker. */
export const notifications = defineQueue({
  name: 'notifications',
  schema: Notification,
  id: (notification) => `approval.${notification.approvalId}`,
})
