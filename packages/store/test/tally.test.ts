import { test } from 'tap'
import { tally, type Voter } from '../src/index.ts'

const ann: Voter = { id: 'ann', name: 'ann', role: 'operator', groups: ['finance'] }
const bob: Voter = { id: 'bob', name: 'bob', role: 'operator', groups: ['finance', 'legal'] }
const cat: Voter = { id: 'cat', name: 'cat', role: 'viewer', groups: ['legal'] }
const root: Voter = { id: 'root', name: 'root', role: 'admin', groups: [] }
const all = [ann, bob, cat, root]

const approve = { id: 'approve', approves: true }
const reject = { id: 'reject', rejects: true }
const later = { id: 'later' }

interface Case {
  name: string
  quorum: number | 'all'
  veto?: boolean
  options?: { id: string; rejects?: boolean }[]
  assignees?: string[]
  eligible?: Voter[]
  votes: [Voter, string][]
  gives: [string, 'quorum' | 'veto' | 'impossible'] | undefined
}

const cases: Case[] = [
  { name: 'no vote decides nothing', quorum: 1, votes: [], gives: undefined },
  { name: 'one vote is enough for a quorum of one', quorum: 1, votes: [[ann, 'approve']], gives: ['approve', 'quorum'] },
  { name: 'one vote is not enough for a quorum of two', quorum: 2, votes: [[ann, 'approve']], gives: undefined },
  {
    name: 'the first option with n votes wins',
    quorum: 2,
    veto: false,
    votes: [
      [ann, 'later'],
      [bob, 'approve'],
      [cat, 'approve'],
      [root, 'later'],
    ],
    options: [approve, reject, later],
    gives: ['approve', 'quorum'],
  },
  {
    name: 'a veto decides against votes in favour',
    quorum: 3,
    votes: [
      [ann, 'approve'],
      [bob, 'approve'],
      [cat, 'reject'],
    ],
    gives: ['reject', 'veto'],
  },
  {
    name: 'a veto counts only for the rejecting option',
    quorum: 2,
    options: [approve, reject, later],
    votes: [[ann, 'later']],
    gives: undefined,
  },
  { name: 'without veto one rejection is one vote', quorum: 2, veto: false, votes: [[ann, 'reject']], gives: undefined },
  {
    name: 'without veto the rejecting option needs its quorum',
    quorum: 2,
    veto: false,
    votes: [
      [ann, 'reject'],
      [bob, 'approve'],
      [cat, 'reject'],
    ],
    gives: ['reject', 'quorum'],
  },
  {
    name: 'votes that leave no option a chance reject',
    quorum: 3,
    veto: false,
    eligible: [ann, bob, cat],
    votes: [
      [ann, 'approve'],
      [bob, 'reject'],
    ],
    gives: ['reject', 'impossible'],
  },
  {
    name: 'one who has not voted keeps it open',
    quorum: 3,
    veto: false,
    votes: [
      [ann, 'approve'],
      [bob, 'reject'],
    ],
    gives: undefined,
  },
  {
    name: 'too few people from the start decide nothing',
    quorum: 3,
    veto: false,
    eligible: [ann, bob],
    votes: [
      [ann, 'approve'],
      [bob, 'approve'],
    ],
    gives: undefined,
  },
  {
    name: 'without a rejecting option nothing is rejected',
    quorum: 2,
    options: [approve, later],
    eligible: [ann, bob],
    votes: [
      [ann, 'approve'],
      [bob, 'later'],
    ],
    gives: undefined,
  },
  {
    name: 'all: every entry has to agree',
    quorum: 'all',
    assignees: ['group:finance', 'group:legal'],
    votes: [[ann, 'approve']],
    gives: undefined,
  },
  {
    name: 'all: two entries, two voters',
    quorum: 'all',
    assignees: ['group:finance', 'group:legal'],
    votes: [
      [ann, 'approve'],
      [cat, 'approve'],
    ],
    gives: ['approve', 'quorum'],
  },
  {
    name: 'all: one voter may stand for two entries',
    quorum: 'all',
    assignees: ['group:finance', 'group:legal'],
    votes: [[bob, 'approve']],
    gives: ['approve', 'quorum'],
  },
  {
    name: 'all: admin counts as every role and as no group',
    quorum: 'all',
    assignees: ['role:operator', 'user:ann'],
    votes: [
      [root, 'approve'],
      [ann, 'approve'],
    ],
    gives: ['approve', 'quorum'],
  },
  {
    name: 'all: admin is not in a group',
    quorum: 'all',
    assignees: ['group:legal', 'role:viewer'],
    votes: [[root, 'approve']],
    gives: undefined,
  },
  {
    name: 'all: an entry whose people are all against makes it impossible',
    quorum: 'all',
    veto: false,
    assignees: ['user:ann', 'user:bob'],
    eligible: [ann, bob],
    votes: [
      [ann, 'approve'],
      [bob, 'reject'],
    ],
    gives: ['reject', 'impossible'],
  },
  {
    name: 'all: an entry of many people stays open after one against',
    quorum: 'all',
    veto: false,
    assignees: ['group:finance', 'group:legal'],
    votes: [
      [ann, 'reject'],
      [cat, 'approve'],
    ],
    gives: undefined,
  },
]

for (const { name, votes, gives, ...given } of cases) {
  test(name, async (t) => {
    const question = {
      options: given.options ?? [approve, reject],
      assignees: given.assignees ?? ['role:operator', 'role:viewer'],
      quorum: given.quorum,
      veto: given.veto ?? true,
    }
    const outcome = tally(
      question,
      votes.map(([voter, decision]) => ({ voter, decision })),
      given.eligible ?? all,
    )
    t.same(outcome && [outcome.decision, outcome.by], gives)
    if (outcome) t.equal(outcome.rejects, outcome.decision === 'reject')
  })
}
