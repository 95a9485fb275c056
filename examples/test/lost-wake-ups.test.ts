/**
 * Between an answer and the wake-up of the runner: Redis is gone, and the orchestrator is killed as soon as it has answered. What was answered
 * with 2xx happens, once; whoever follows the run sees each event once and in order.
 */
import { type CloudEvent, createClient } from '@baton/client'
import { until } from '@baton/testing'
import { test } from 'tap'
import { superviseStack } from './supervised-stack.ts'

const ASKS = {
  name: 'asks',
  steps: [{ id: 'ok', approval: { title: 'Go?', allowSelf: true } } as const, { id: 'rest', wait: { for: '1h' } } as const],
}

test('a start, a decision and a cancel whose wake-ups are lost with their orchestrator are each applied once', {
  timeout: 180_000,
}, async (t) => {
  const stack = await superviseStack(t)
  const client = createClient({ url: stack.url, fanoutUrl: stack.liveUrl, key: stack.adminKey, retries: 0 })
  await client.workflows.put('asks', JSON.stringify(ASKS))
  /** Acts while Redis is gone, and kills the orchestrator in the moment of its answer. */
  const actAndDie = async <T>(act: () => Promise<T>): Promise<T> => {
    await stack.redis.kill()
    const answer = await act()
    await stack.end('orchestrator', 'SIGKILL')
    await stack.redis.restart() // empty: nothing of it was kept
    await stack.ready('orchestrator')
    return answer
  }
  const eventsOf = async (id: string) => {
    const events: CloudEvent[] = []
    for await (const event of client.runs.events(id)) events.push(event)
    return events
  }
  const comes = (id: string, type: string, subject?: string) =>
    until(async () => (await eventsOf(id)).some((event) => event.type === `dev.baton.${type}` && event.subject === subject), {
      timeoutMs: 30_000,
      what: type,
    })
  const seqsOf = async (events: AsyncIterable<CloudEvent>) => {
    const seqs: number[] = []
    for await (const event of events) seqs.push(event.seq)
    return seqs
  }

  const run = await actAndDie(() => client.runs.start('asks', {}))
  const followed = Promise.all([seqsOf(client.watchRun(run.id, { after: 0 })), seqsOf(client.watchRunSse(run.id, { after: 0 }))])
  await comes(run.id, 'approval.opened', 'ok')
  await actAndDie(async () => {
    const approvals = client.approvals.list({ run: run.id })
    for await (const approval of approvals) await client.approvals.decide(approval.id, { decision: 'approve' })
  })
  await comes(run.id, 'step.waiting', 'rest')
  await actAndDie(() => client.runs.cancel(run.id))
  await comes(run.id, 'run.cancelled')
  const events = await eventsOf(run.id)
  const counts = new Map<string, number>()
  for (const { type } of events) counts.set(type.slice('dev.baton.'.length), (counts.get(type.slice('dev.baton.'.length)) ?? 0) + 1)
  const once = ['run.created', 'run.started', 'approval.opened', 'approval.decided', 'step.succeeded', 'run.cancelled']
  for (const type of once) t.equal(counts.get(type), 1, type)
  const all = events.map(({ seq }) => seq)
  t.same(
    all,
    events.map((_, i) => i + 1),
    'no gap',
  )
  for (const seqs of await followed) t.same(seqs, all, 'a follower saw each event once, in order')
})
