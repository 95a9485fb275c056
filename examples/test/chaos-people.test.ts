/** What people were told is written down, to be judged; what they should not be told is a surprise; who stands still is named. */
import { type BatonClient, BatonProblem, BatonUnreachable, type Run } from '@baton/client'
import { test } from 'tap'
import { people } from '../chaos/drive.ts'
import { createRandom } from '../chaos/random.ts'
import type { Reach } from '../chaos/reach.ts'
import { waitForEnd } from '../chaos/stuck.ts'
import type { Started } from '../chaos/workload.ts'

const RUN: Started = { id: 'run_1', family: 'chain', order: 'o1' }
const lost = new BatonUnreachable('http://127.0.0.1', new Error('cut'))
const refused = (status: number) => new BatonProblem({ status } as never)

/** People whose tries of each verb have these answers, one after the other; their run has ended with this status. */
function folkWith(
  answers: Partial<Record<'replay' | 'fork' | 'cancel' | 'retry', (Error | string)[]>>,
  statuses: Run['status'][] = ['succeeded'],
) {
  const answer = (verb: keyof typeof answers) => async () => {
    const next = answers[verb]!.shift()!
    if (next instanceof Error) throw next
    return { id: next } as Run
  }
  const get = async () => ({ status: statuses.length > 1 ? statuses.shift() : statuses[0], endedAt: 'then' }) as Run
  const runs = { get, replay: answer('replay'), fork: answer('fork'), cancel: answer('cancel'), retry: answer('retry') }
  return people({ client: { runs } as unknown as BatonClient } as Reach, createRandom(1))
}

test('what was answered is written down, with what is not known of the tries before', async (t) => {
  const forking = folkWith({ fork: [lost, 'run_2'] })
  forking.forkLater(RUN, 's2')
  const replaying = folkWith({ replay: [lost, refused(409)] })
  replaying.replayLater(RUN, 's2')
  const retrying = folkWith({ cancel: ['run_1'], retry: ['run_1'] }, ['cancelled', 'succeeded'])
  retrying.cancelAndRetryLater(RUN)
  const late = folkWith({ cancel: [refused(409)] })
  late.cancelAndRetryLater(RUN)
  const all = [forking, replaying, retrying, late]
  await Promise.all(all.map((folk) => folk.controlled()))

  const written = all.map(({ controls }) => controls.map(({ at, ...control }) => control))
  t.strictSame(written, [
    [{ kind: 'fork', run: 'run_1', accepted: true, unsure: true, made: 'run_2' }],
    [{ kind: 'replay', run: 'run_1', accepted: false, unsure: true }],
    [
      { kind: 'cancel', run: 'run_1', accepted: true, unsure: false },
      { kind: 'retry', run: 'run_1', accepted: true, unsure: false },
    ],
    [{ kind: 'cancel', run: 'run_1', accepted: false, unsure: false }],
  ])
  for (const { surprises } of all) t.strictSame(surprises, [])
})

test('an answer that nobody should be given is a surprise', async (t) => {
  const all = [
    ['replay', 409],
    ['fork', 409],
    ['fork', 404],
    ['cancel', 404],
    ['retry', 422],
  ] as const
  for (const [verb, status] of all) {
    const folk = folkWith({ cancel: ['run_1'], [verb]: [refused(status)] }, verb === 'retry' ? ['cancelled', 'succeeded'] : ['succeeded'])
    if (verb === 'replay') folk.replayLater(RUN, 's2')
    else if (verb === 'fork') folk.forkLater(RUN, 's2')
    else folk.cancelAndRetryLater(RUN)
    await folk.controlled()
    t.match(folk.surprises.join(), new RegExp(`^a ${verb} was answered ${status}`), `${verb}: ${status}`)
    t.notOk(folk.controls.some(({ kind }) => kind === verb))
  }
})

const STEP_MS = 5_000

/** A client whose runs end at `endMs`, and of which one is said to be stuck while `isStuck`; each look at them takes some time. */
function watched({ endMs = 60_000, isStuck }: { endMs?: number; isStuck(ms: number): boolean }) {
  let ms = 0
  const count = async () => {
    ms += STEP_MS
    return ms < endMs ? 1 : 0
  }
  const runs = { count, stuck: async () => (isStuck(ms) ? [{ id: RUN.id }] : []) }
  return { client: { runs } as unknown as BatonClient, now: () => ms }
}

test('a run that was stuck for 30 s is named, though it went on later', async (t) => {
  const { client, now } = watched({ isStuck: (ms) => ms >= 10_000 && ms <= 40_000 })
  t.strictSame(await waitForEnd(client, 10_000, now), { ended: true, stuck: [RUN.id] })
})

test('one that was found again in time is not', async (t) => {
  for (const isStuck of [(ms: number) => ms >= 10_000 && ms < 40_000, (ms: number) => ms !== 30_000]) {
    const { client, now } = watched({ endMs: 50_000, isStuck })
    t.strictSame(await waitForEnd(client, 10_000, now), { ended: true, stuck: [] })
  }
})

test('when the runs do not end, those that are stuck by then are named', async (t) => {
  const { client } = watched({ endMs: Number.POSITIVE_INFINITY, isStuck: () => true })
  t.strictSame(await waitForEnd(client, 0, () => 0), { ended: false, stuck: [RUN.id] })
})
