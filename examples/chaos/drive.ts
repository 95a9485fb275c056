/** What people do meanwhile: vote, cancel, pause and resume, follow. What was answered with 2xx is written down: it may not be lost. */
import type { Approval, BatonClient, CloudEvent, Run } from '@baton/client'
import type { Random } from './random.ts'
import { insist, type Reach } from './reach.ts'
import type { Started } from './workload.ts'
import { HEARD } from './workload-tied.ts'

/** A vote that was answered with 200. */
export interface Vote {
  approval: string
  by: string
  decision: string
}

/** What was asked of a run and answered with 2xx or, since an earlier one was taken or came too late, with 409. */
export interface Control {
  kind: 'replay' | 'retry' | 'fork' | 'cancel'
  run: string
  /** False after a 409. */
  accepted: boolean
  /** Of a fork: the run that was answered. */
  made?: string | undefined
  /** A try before had no answer, and may have been taken as well. */
  unsure: boolean
  /** When the answer came, in milliseconds since 1970. */
  at: number
}

/** What a follower saw. */
export interface Followed {
  run: string
  over: 'WebSocket' | 'SSE'
  events: CloudEvent[]
  /** Why it ended before the run did. */
  error?: string
}

/** A person with a key. */
export interface Voter {
  name: string
  client: BatonClient
}

const VOTERS = 3
const LOOK_MS = 500

/** Operators with keys of their own. */
export async function makeVoters({ client, as }: Reach): Promise<Voter[]> {
  const voters: Voter[] = []
  for (let n = 1; n <= VOTERS; n++) {
    const made = await client.keys.create({ name: `voter-${n}`, role: 'operator' })
    voters.push({ name: `voter-${n}`, client: as(made.key) })
  }
  return voters
}

/** Everything that people do to runs. */
export type People = ReturnType<typeof people>

/** People who act on runs until they are stopped. */
export function people(reach: Reach, random: Random) {
  const votes: Vote[] = []
  const cancelled: string[] = []
  const controls: Control[] = []
  const surprises: string[] = []
  const followed: Promise<Followed>[] = []
  const acting = new Set<Promise<void>>()
  const stopping = new AbortController()
  const maybePaused = new Set<string>()
  const controlling = new Set<Promise<void>>()
  let paused = 0

  const act = (what: () => Promise<void>) => {
    const done: Promise<void> = what()
      .catch((error: Error) => void surprises.push(String(error.stack)))
      .finally(() => acting.delete(done))
    acting.add(done)
  }

  /** As `act`; the scene waits for it before it waits for the end of all runs. */
  const control = (what: () => Promise<void>) => {
    const done: Promise<void> = what()
      .catch((error: Error) => void surprises.push(String(error.stack)))
      .finally(() => controlling.delete(done))
    controlling.add(done)
  }

  /** The run at its end; looked for in pieces, since whoever is asked may be killed. */
  async function ended(id: string): Promise<Run> {
    for (;;) {
      const { value } = await insist(() => reach.client.runs.get(id))
      if (value?.endedAt) return value
      await sleep(LOOK_MS)
    }
  }

  async function insistOn(kind: Control['kind'], run: string, act: () => Promise<Run>): Promise<void> {
    const { value, problem, unsure } = await insist(act)
    // 409: a cancel may be too late, a retry may follow another one; else only a try without an answer can have been faster.
    const mayClash = kind === 'cancel' || kind === 'retry' || (kind === 'replay' && unsure)
    if (!value && !(mayClash && problem?.status === 409)) {
      surprises.push(`a ${kind} was answered ${problem?.status} ${problem?.detail} (unsure: ${unsure})`)
      return
    }
    controls.push({ kind, run, accepted: value !== undefined, unsure, at: Date.now(), ...(kind === 'fork' ? { made: value?.id } : {}) })
  }

  async function vote(approval: Approval, { name, client }: Voter, decision: string, afterMs: number): Promise<void> {
    await sleep(afterMs)
    const { value, problem, unsure } = await insist(() => client.approvals.decide(approval.id, { decision }))
    if (value) votes.push({ approval: approval.id, by: name, decision })
    // 409: decided meanwhile, or the vote of a try without an answer counts already.
    else if (problem && problem.status !== 409)
      surprises.push(`a vote was answered ${problem.status} ${problem.detail} (unsure: ${unsure})`)
  }

  async function voteOnAll(voters: Voter[]): Promise<void> {
    const seen = new Set<string>()
    while (!stopping.signal.aborted) {
      const { value: pending = [] } = await insist(() => listPending(reach.client))
      for (const approval of pending.filter(({ id }) => !seen.has(id))) {
        seen.add(approval.id)
        for (const voter of voters) {
          const [decision, afterMs] = [random.chance(0.25) ? 'reject' : 'approve', random.whole(0, 1_500)]
          act(() => vote(approval, voter, decision, afterMs))
        }
      }
      await sleep(LOOK_MS)
    }
  }

  return {
    votes,
    cancelled,
    controls,
    followed,
    surprises,
    paused: () => paused,
    startVoting: (voters: Voter[]) => act(() => voteOnAll(voters)),
    cancelLater: ({ id }: Started) =>
      act(async () => {
        await sleep(random.whole(100, 5_000))
        const { value, problem } = await insist(() => reach.client.runs.cancel(id))
        if (value) cancelled.push(id)
        else surprises.push(`a cancel was answered ${problem?.status} ${problem?.detail}`)
      }),
    pauseLater: ({ id }: Started) =>
      act(async () => {
        await sleep(random.whole(0, 1_500))
        const pause = await insist(() => reach.client.runs.pause(id))
        await sleep(random.whole(100, 2_000))
        const resume = await insist(() => reach.client.runs.resume(id))
        for (const { problem } of [pause, resume])
          if (problem && problem.status !== 409) surprises.push(`${problem.status} ${problem.detail}`)
        if (pause.value && resume.value) paused++
        if (pause.unsure) maybePaused.add(id)
      }),
    /** Tells of the event that a run of `heard` waits for. */
    tellLater: ({ order }: Started) =>
      control(() => sleep(random.whole(0, 3_000)).then(() => reach.tell({ type: HEARD, id: order, data: { order } }))),
    /** Replays a step in the middle of a run that has ended. */
    replayLater: ({ id }: Started, path: string) =>
      control(async () => {
        await ended(id)
        await insistOn('replay', id, () => reach.client.runs.replay(id, path, { reason: 'chaos' }))
      }),
    forkLater: ({ id }: Started, from: string) =>
      control(async () => {
        await ended(id)
        await insistOn('fork', id, () => reach.client.runs.fork(id, { from }))
      }),
    /** Cancels a run in the middle, and lets it begin again where it was. */
    cancelAndRetryLater: ({ id }: Started) =>
      control(async () => {
        await sleep(random.whole(0, 800))
        await insistOn('cancel', id, () => reach.client.runs.cancel(id))
        for (let run = await ended(id); run.status === 'cancelled'; run = await ended(id)) {
          await insistOn('retry', id, () => reach.client.runs.retry(id))
          await sleep(LOOK_MS)
        }
      }),
    /** Resolves when nobody replays, retries, forks or tells any more. */
    async controlled(): Promise<void> {
      while (controlling.size > 0) await Promise.all(controlling)
    },
    followLater: ({ id }: Started, over: Followed['over']) => void followed.push(follow(reach.client, id, over)),
    /** Cuts live connections now and then. */
    startCutting: () =>
      act(async () => {
        while (!stopping.signal.aborted) {
          await sleep(random.whole(500, 4_000))
          reach.cut()
        }
      }),
    /** A pause that had no answer may be taken up by an orchestrator that stood still, after its resume: to be called when all go on. */
    async resumeDoubtful(): Promise<void> {
      for (const id of maybePaused) await insist(() => reach.client.runs.resume(id))
    },
    /** Resolves when everybody has had an answer. */
    async stop(): Promise<void> {
      stopping.abort()
      await Promise.all(acting)
    },
  }
}

async function listPending(client: BatonClient): Promise<Approval[]> {
  const pending: Approval[] = []
  for await (const approval of client.approvals.list({ status: 'pending' }, { pageSize: 200 })) {
    if (approval.assignees.includes('role:operator')) pending.push(approval)
  }
  return pending
}

async function follow(client: BatonClient, run: string, over: Followed['over']): Promise<Followed> {
  const events: CloudEvent[] = []
  const options = { after: 0, giveUpMs: 180_000 }
  try {
    for await (const event of over === 'SSE' ? client.watchRunSse(run, options) : client.watchRun(run, options)) events.push(event)
    return { run, over, events }
  } catch (error) {
    return { run, over, events, error: String(error) }
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
