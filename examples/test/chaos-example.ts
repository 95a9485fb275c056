/** A run and its calls, as the checker of chaos is shown them. */
import type { Approval, BatonClient, CloudEvent, Run, Step } from '@baton/client'
import { stubServer } from '@baton/testing'
import type { Test } from 'tap'
import { judge, type Observed } from '../chaos/checker.ts'
import type { ShopCall } from '../src/shop.ts'

export const ID = 'run_01a1fe0a-7510-7207-a990-ab685388c68d'
export const [FORK, FORK2] = [ID.replace(/d$/, 'e'), ID.replace(/d$/, 'f')]
export const START = 1_800_000_000_000
export const at = (ms: number) => new Date(START + ms).toISOString()

/** A `doomed` run as it should be: one call, an approval, a cancellation. */
export function example() {
  const event = (seq: number, type: string, subject: string | undefined, data: object) =>
    ({
      id: `${ID}/${seq}`,
      source: `/runs/${ID}`,
      type: `dev.baton.${type}`,
      subject,
      time: at(seq * 100),
      seq,
      data,
    }) as unknown as CloudEvent
  const events = [
    event(1, 'run.created', undefined, {}),
    event(2, 'run.started', undefined, {}),
    event(3, 'step.scheduled', 's1', { generation: 0, attempt: 1 }),
    event(4, 'step.succeeded', 's1', { generation: 0, attempt: 1, output: { status: 200, durationMs: 1 } }),
    event(5, 'step.scheduled', 'ask', { generation: 0, attempt: 1 }),
    event(6, 'approval.opened', 'ask', {}),
    event(7, 'approval.cancelled', 'ask', {}),
    event(8, 'step.cancelled', 'ask', { generation: 0, attempt: 1 }),
    event(9, 'run.cancelled', undefined, {}),
  ]
  const run = { id: ID, status: 'cancelled', lastSeq: 9, output: null } as unknown as Run
  const steps = [
    { path: 's1', status: 'succeeded' },
    { path: 'ask', status: 'cancelled' },
  ] as Step[]
  const approval = { id: 'apr_1', step: 'ask', status: 'cancelled', decisions: [], decision: null, quorum: 2 } as unknown as Approval
  const call = (startedAt: number, more: Partial<ShopCall> = {}): ShopCall => ({
    ...{ method: 'GET', path: '/orders/o1.s1', idempotencyKey: `${ID}/s1/0`, startedAt: START + startedAt },
    ...{ endedAt: START + startedAt + 50, status: 200, replayed: false, ...more },
  })
  const observed: Observed = {
    started: [{ id: ID, family: 'doomed', order: 'o1' }],
    votes: [],
    cancelled: [ID],
    controls: [],
    followed: [],
  }
  const ofFork: CloudEvent[] | undefined = undefined
  return {
    events,
    event,
    run,
    steps,
    approvals: [approval],
    calls: [call(320)],
    call,
    observed,
    ofFork: ofFork as CloudEvent[] | undefined,
  }
}

export type Example = ReturnType<typeof example>

export async function judged(t: Test, change: (seen: Example) => void): Promise<string> {
  const seen = example()
  change(seen)
  const shop = await stubServer(t, () => ({ body: { items: seen.calls } }))
  const client = {
    runs: { get: async () => seen.run, events: (id: string) => (id === FORK && seen.ofFork) || seen.events, steps: () => seen.steps },
    approvals: { list: () => seen.approvals },
  } as unknown as BatonClient
  return (await judge(client, shop.url, seen.observed)).violations.join('; ')
}
