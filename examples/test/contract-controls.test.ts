/** CONTRACT §3 and §4: every control in every state, on a stack. */
import { until } from '@baton/testing'
import { type Test, test } from 'tap'
import { type Contract, expectProblem, type Loose, must, openContract } from './contract-harness.ts'

const gate = { approval: { title: 'Go on?', assignees: ['role:admin'], allowSelf: true } }
const last = { needs: ['gate'], set: { x: 1 } }
const undone = { set: { x: 1 }, compensate: { set: { y: 1 } } }

const CONTROLS = ['cancel', 'pause', 'resume', 'retry', 'replay', 'fork', 'patch'] as const
type Control = (typeof CONTROLS)[number]

/** How a run comes to a state, and what each control answers there: cancel, pause, resume, retry, replay of `gate`, fork from it, patch of `last`. */
const TABLE: { state: string; steps: object; timeout?: string; by?: 'pause' | 'cancel'; answers: number[] }[] = [
  { state: 'waiting', steps: { gate, last }, answers: [202, 202, 200, 409, 409, 202, 200] },
  { state: 'paused', steps: { gate, last }, by: 'pause', answers: [202, 200, 202, 409, 409, 202, 200] },
  { state: 'succeeded', steps: { gate: { set: { x: 1 } }, last }, answers: [409, 409, 409, 409, 202, 202, 409] },
  { state: 'failed', steps: { gate: { fail: { message: 'no' } }, last }, answers: [409, 409, 409, 202, 202, 202, 200] },
  { state: 'cancelled', steps: { gate, last }, by: 'cancel', answers: [200, 409, 409, 202, 202, 202, 200] },
  { state: 'timed_out', steps: { gate, last }, timeout: '100ms', answers: [409, 409, 409, 202, 202, 202, 200] },
  {
    state: 'failed',
    steps: { pay: undone, gate: { needs: ['pay'], fail: { message: 'no' } }, last },
    answers: [409, 409, 409, 409, 409, 202, 409],
  },
]

/** Where a run stands in the end after a control that was accepted there; others leave it where it was. */
const NEXT: Record<string, Partial<Record<Control, string>>> = {
  waiting: { cancel: 'cancelled', pause: 'paused' },
  paused: { cancel: 'cancelled', resume: 'waiting' },
  cancelled: { retry: 'waiting', replay: 'waiting' },
}

test('every control in every state', { timeout: 110_000 }, async (t) => {
  const contract = await openContract(t)
  for (const { state, steps, timeout, by, answers } of TABLE) {
    const what = `${state}${'pay' in steps ? ' and compensated' : ''}`
    await t.test(`a run that is ${what}`, async (t) => {
      const name = await contract.saveSteps(steps, timeout ? { timeout } : {})
      await Promise.all(CONTROLS.map((control, index) => judgeControl(t, contract, { name, state, by, control, wanted: answers[index]! })))
    })
  }
  await t.test('a fork runs what depends on its step, on another input', (t) => judgeFork(t, contract))
  await t.test('a replay does a step and what depends on it again', (t) => judgeReplay(t, contract))
  await t.test('a patch is what the run goes on by', (t) => judgePatch(t, contract))
})

interface Case {
  name: string
  state: string
  by: 'pause' | 'cancel' | undefined
  control: Control
  wanted: number
}

async function judgeControl(t: Test, contract: Contract, { name, state, by, control, wanted }: Case): Promise<void> {
  const { id } = await contract.start(name)
  if (by || state === 'waiting') await stands(contract, id, 'waiting')
  if (by) must(await contract.call('POST', `/api/v1/runs/${id}/${by}`), 202)
  await stands(contract, id, state)
  const before = must(await contract.call('GET', `/api/v1/runs/${id}`), 200)
  const answer = await ask(contract, control, id)
  const what = `${control} of a run that is ${state}`
  t.equal(answer.status, wanted, `${what}: ${JSON.stringify(answer.body).slice(0, 200)}`)
  if (wanted === 409) expectProblem(t, answer, { status: 409, code: /^BTN_RUN_(STATE|COMPENSATED)$/ }, what)
  const next = NEXT[state]?.[control] ?? state
  await stands(contract, id, next)
  const reopens = wanted === 202 && (control === 'retry' || control === 'replay')
  if (!reopens) return
  const events = await until(async () => {
    const all = await contract.events(id)
    return all.some(({ type }) => type === 'dev.baton.run.reopened') ? all : undefined
  })
  t.match(
    events.find(({ seq }: Loose) => seq === before.lastSeq + 1),
    { type: 'dev.baton.run.reopened' },
    `${what}: seq goes on`,
  )
  t.equal((await contract.step(id, 'gate')).generation, 1, `${what}: the next generation`)
}

function stands(contract: Contract, id: string, status: string): Promise<Loose> {
  return until(
    async () => {
      const run = must(await contract.call('GET', `/api/v1/runs/${id}`), 200)
      return run.status === status ? run : undefined
    },
    { what: `run ${id} to be ${status}` },
  )
}

function ask({ call }: Contract, control: Control, id: string) {
  const run = `/api/v1/runs/${id}`
  if (control === 'replay') return call('POST', `${run}/steps/gate/replay`, { body: { reason: 'again' } })
  if (control === 'fork') return call('POST', `${run}/fork`, { body: { from: 'gate' } })
  if (control !== 'patch') return call('POST', `${run}/${control}`)
  const body = [{ op: 'replace', path: '/steps/last/set/x', value: 2 }]
  return call('PATCH', `${run}/definition`, { body, type: 'application/json-patch+json', headers: { 'if-match': '1' } })
}

async function judgeFork(t: Test, { call, runSteps, ended, step, events }: Contract) {
  const steps = { a: { set: { x: '${{ input.n }}' } }, b: { set: { y: '${{ steps.a.output.x + input.n }}' } } }
  const source = await runSteps(steps, { input: { n: 1 }, output: '${{ steps.b.output.y }}' })
  const fork = must(await call('POST', `/api/v1/runs/${source.id}/fork`, { body: { from: 'b', input: { n: 10 } } }), 202)
  t.match(await ended(fork.id), { status: 'succeeded', output: 11, forkedFrom: source.id, input: { n: 10 } })
  t.equal((await step(fork.id, 'a')).output.x, 1, 'what does not depend on the step is as it was')
  const seqs = (await events(fork.id)).map(({ seq }) => seq)
  t.same(
    seqs,
    seqs.map((_, index) => index + 1),
  )
  const bulk = must(
    await call('POST', '/api/v1/runs/fork', { body: { filter: { workflow: source.workflow, status: 'succeeded' }, from: 'a', limit: 2 } }),
    202,
  )
  t.equal(bulk.items.length, 2)
  for (const { ok } of bulk.items) t.match(await ended(ok.id), { status: 'succeeded' })
}

async function judgeReplay(t: Test, { call, runSteps, step, ended, events }: Contract) {
  const steps = { a: { set: { x: 1 } }, b: { set: { y: '${{ steps.a.output.x }}' } }, other: { set: { z: 1 } } }
  const run = await runSteps(steps, { output: '${{ steps.b.output.y }}' })
  must(await call('POST', `/api/v1/runs/${run.id}/steps/a/replay`, { body: { reason: 'fix', config: { x: 7 } } }), 202)
  t.match(await ended(run.id), { status: 'succeeded', output: 7 })
  t.match(
    [await step(run.id, 'a'), await step(run.id, 'b'), await step(run.id, 'other')],
    [{ generation: 1 }, { generation: 1 }, { generation: 0 }],
  )
  t.match(
    (await events(run.id)).map(({ type }) => type).filter((type) => /patched|reopened/.test(type)),
    ['dev.baton.run.patched', 'dev.baton.run.reopened'],
  )
}

async function judgePatch(t: Test, { call, saveSteps, start, approvalOf, ended, adminKey }: Contract) {
  const name = await saveSteps({ gate, last }, { output: '${{ steps.last.output }}' })
  const { id } = await start(name)
  const approval = await approvalOf(id, 'gate')
  const patch = (body: object[], version: number) =>
    call('PATCH', `/api/v1/runs/${id}/definition`, { body, type: 'application/json-patch+json', headers: { 'if-match': `${version}` } })
  expectProblem(t, await patch([{ op: 'remove', path: '/steps/gate' }], 1), { status: 409, pointer: '/steps/gate' }, 'a started step')
  expectProblem(t, await patch([{ op: 'remove', path: '/steps/last' }], 7), { status: 412 }, 'another version')
  t.same(must(await patch([{ op: 'add', path: '/steps/last/set/more', value: true }], 1), 200), { definitionVersion: 2 })
  must(await call('POST', `/api/v1/approvals/${approval.id}/decision`, { body: { decision: 'approve' }, key: adminKey }), 200)
  t.match(await ended(id), { status: 'succeeded', output: { x: 1, more: true } })
}
