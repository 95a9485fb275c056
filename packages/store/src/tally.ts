/** What the votes on an approval come to. Pure. */
import type { ApprovalOption } from '@baton/contracts'

/** Who votes or may vote. */
export interface Voter {
  /** Identity; who started a run is compared with it. */
  id: string
  /** What `user:<name>` names. */
  name: string
  role: string
  groups: readonly string[]
}

export interface Question {
  options: readonly ApprovalOption[]
  assignees: readonly string[]
  quorum: number | 'all'
  veto: boolean
}

export interface CastVote {
  voter: Voter
  decision: string
}

/** quorum: enough votes for it. veto: one vote for the rejecting option. impossible: no option can win any more. */
export interface Outcome {
  decision: string
  rejects: boolean
  by: 'quorum' | 'veto' | 'impossible'
}

/** True when this entry of the assignees names the voter; admin counts as every role. */
export function isNamedBy(entry: string, voter: Voter): boolean {
  const colon = entry.indexOf(':')
  const name = entry.slice(colon + 1)
  switch (entry.slice(0, colon)) {
    case 'user':
      return voter.name === name
    case 'group':
      return voter.groups.includes(name)
    case 'role':
      return voter.role === name || voter.role === 'admin'
    default:
      return false
  }
}

/** True when any of the assignees names the voter. */
export function isEligible(assignees: readonly string[], voter: Voter): boolean {
  return assignees.some((entry) => isNamedBy(entry, voter))
}

/** The outcome that the votes alone, in the order they were cast, bring about: a veto or a quorum. */
export function settledByVotes(question: Question, votes: readonly CastVote[]): Outcome | undefined {
  const rejecting = rejectingOption(question)
  for (let count = 1; count <= votes.length; count++) {
    const { decision } = votes[count - 1]!
    if (question.veto && decision === rejecting?.id) return { decision, rejects: true, by: 'veto' }
    if (hasWon(question, decision, votes.slice(0, count))) return { decision, rejects: decision === rejecting?.id, by: 'quorum' }
  }
  return undefined
}

function rejectingOption({ options }: Question): ApprovalOption | undefined {
  return options.find((option) => option.rejects)
}

/**
 * The outcome of the votes in the order they were cast, or undefined while it is open. `eligible` are all who may vote, as far as they are
 * known. That no option can win is only concluded from votes: with too few people for the quorum from the start, the approval stays open.
 */
export function tally(question: Question, votes: readonly CastVote[], eligible: readonly Voter[]): Outcome | undefined {
  const settled = settledByVotes(question, votes)
  if (settled) return settled
  const rejecting = rejectingOption(question)
  if (votes.length === 0 || !rejecting) return undefined
  const left = eligible.filter((voter) => !votes.some((vote) => vote.voter.id === voter.id))
  const people = [...left, ...votes.map((vote) => vote.voter)]
  const wasPossible = question.options.some((option) => canWin(question, option.id, [], people))
  const isPossible = question.options.some((option) => canWin(question, option.id, votes, left))
  return wasPossible && !isPossible ? { decision: rejecting.id, rejects: true, by: 'impossible' } : undefined
}

function hasWon(question: Question, option: string, votes: readonly CastVote[]): boolean {
  const mine = votes.filter((vote) => vote.decision === option)
  if (question.quorum !== 'all') return mine.length >= question.quorum
  return question.assignees.every((entry) => mine.some((vote) => isNamedBy(entry, vote.voter)))
}

/** True when the option would win if everybody who is left voted for it. */
function canWin(question: Question, option: string, votes: readonly CastVote[], left: readonly Voter[]): boolean {
  return hasWon(question, option, [...votes, ...left.map((voter) => ({ voter, decision: option }))])
}
