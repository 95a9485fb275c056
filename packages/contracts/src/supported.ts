/**
 * What the contract has and this version does not run yet. Definitions that use it compile, and are refused with BTN_UNSUPPORTED at the place
 * that asks for it. A version that runs more takes names out of this table; nothing else changes.
 */
export const UNSUPPORTED = ['agent.tools', 'agent.approve', 'agent.session', 'approval.reminders', 'approval.escalate'] as const

/** A kind, a key of steps or definitions, or a key of a kind's body. */
export type Feature = (typeof UNSUPPORTED)[number]
