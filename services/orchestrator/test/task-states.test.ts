/** Each call on a task in each of its states. */
import type { Json } from '@baton/contracts'
import t from 'tap'
import { advanceRun } from './advance-run.ts'
import { offer } from './offer-task.ts'
import { bare, type Orchestrator, startOrchestrator } from './start-orchestrator.ts'

const CALLS: [call: string, body: Json][] = [
  ['claim', {}],
  ['progress', { percent: 1 }],
  ['complete', { output: 1 }],
  ['fail', { error: { code: 'NO', message: 'no' } }],
  ['release', {}],
  ['handoff', { capabilities: ['pdf'], reason: 'not mine' }],
]

/** What each call is answered with, by the state of the task: 200, or the code of the 409. */
const STATES: Record<string, Record<string, number | string>> = {
  open: {
    claim: 200,
    progress: 'BTN_TASK_STATE',
    complete: 'BTN_TASK_STATE',
    fail: 'BTN_TASK_STATE',
    release: 'BTN_TASK_STATE',
    handoff: 'BTN_TASK_STATE',
  },
  'held by the caller': { claim: 'BTN_TASK_HELD', progress: 200, complete: 200, fail: 200, release: 200, handoff: 200 },
  'held by another': same('BTN_TASK_HELD'),
  'lost by the caller': { ...same('BTN_TASK_CLAIM_LOST'), claim: 200 },
  'completed by the caller': { ...same('BTN_TASK_STATE'), complete: 200 },
  'failed by the caller': { ...same('BTN_TASK_STATE'), fail: 200 },
  'completed by another': same('BTN_TASK_STATE'),
  cancelled: same('BTN_TASK_STATE'),
}

function same(code: string): Record<string, string> {
  return Object.fromEntries(CALLS.map(([call]) => [call, code]))
}

async function bring(orchestrator: Orchestrator, state: string, at: string, run: string, mine: string, other: string): Promise<void> {
  const { post, sql } = orchestrator
  const who = state.includes('another') ? other : mine
  if (state !== 'open' && state !== 'cancelled') await post(`${at}/claim`, {}, { key: who })
  if (state.startsWith('lost')) await sql`update tasks set lease_until = now() - interval '1 s' where id = ${at.slice(-36)}`
  if (state.startsWith('completed')) await post(`${at}/complete`, { output: 1 }, { key: who })
  if (state.startsWith('failed')) await post(`${at}/fail`, { error: { code: 'NO', message: 'no' } }, { key: who })
  if (state !== 'cancelled') return
  await post(`/api/v1/runs/${run}/cancel`)
  await advanceRun(sql, bare(run))
}

for (const [state, answers] of Object.entries(STATES)) {
  t.test(`each call on a task that is ${state}`, async (t) => {
    const orchestrator = await startOrchestrator(t)
    const [mine, other] = [await orchestrator.key('worker', { name: 'mine' }), await orchestrator.key('worker', { name: 'other' })]
    for (const [call, body] of CALLS) {
      const { at, run } = await offer(orchestrator)
      await bring(orchestrator, state, at, run, mine, other)
      const nonsense = await orchestrator.post(`${at}/${call}`, { nonsense: 1 }, { key: mine })
      const isAgain = answers[call] === 200
      t.match(
        nonsense,
        isAgain ? { status: 422, body: { code: 'BTN_INVALID_REQUEST' } } : { status: 409 },
        `${call}: the state comes before the content`,
      )
      const { status, body: answer } = await orchestrator.post(`${at}/${call}`, body, { key: mine })
      t.match(status === 200 ? status : answer.code, answers[call], call)
      if (answer.code === 'BTN_TASK_HELD')
        t.match(answer.detail, /claimed by (mine|other) until \d{4}-.*Z/, 'it says who holds it, and until when')
    }
  })
}
