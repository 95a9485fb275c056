/** Families whose runs hold several of a thing, or are tied to others: items and rounds, events, child runs, a concurrency key, compensations. */
import type { CloudEvent, Json, Run, Step } from '@baton/client'

export const TIED_FAMILIES = ['items', 'heard', 'parent', 'crowd', 'undone'] as const
/** Runs of `kid` are started by those of `parent` alone. */
export type TiedFamily = (typeof TIED_FAMILIES)[number] | 'kid'

/** How many runs of `crowd` may be under way at once. */
export const CROWD_LIMIT = 2
/** Type of the event that runs of `heard` wait for: people tell of it. */
export const HEARD = 'chaos.heard'

type Call = (name: string, delay: number | string, more?: Record<string, Json>) => Record<string, unknown>

const total = (name: string) => `steps.${name}.output.body.total`
const item = (n: number) => `steps.each.output.results[${n}].output`

/** Their definitions; `call` makes a step that calls the shop, whose answer has the last digit of the name as its total. */
export function tiedDefinitions(call: Call): Record<TiedFamily, Record<string, unknown>> {
  const items = {
    steps: [
      { id: 'each', forEach: { in: [1, 2, 3], as: 'k', concurrency: 2, steps: { one: call('item${{ k }}', 1) } } },
      {
        id: 'poll',
        loop: { until: 'iteration >= 2', max: 5, delay: '200ms', steps: [{ id: 'ask', ...call('poll${{ iteration + 1 }}', 2) }] },
      },
    ],
    output: {
      total: `\${{ ${[0, 1, 2].map((n) => `${item(n)}.one.body.total`).join(' + ')} + steps.poll.output.last.ask.body.total }}`,
    },
  }
  const heard = {
    steps: {
      order: call('heard1', 1),
      told: { needs: ['order'], waitFor: { event: HEARD, where: 'event.data.order == input.order' } },
      own: { emit: { type: 'chaos.own', data: { order: '${{ input.order }}' } } },
      back: { waitFor: { event: 'chaos.own', where: 'event.data.order == input.order' } },
      last: { needs: ['told', 'own', 'back'], ...call('heard2', 2) },
    },
    output: {
      total: `\${{ ${total('order')} + ${total('last')} }}`,
      told: '${{ steps.told.output.id }}',
      back: '${{ steps.back.output.id }}',
    },
  }
  const input = { shop: '${{ input.shop }}', order: '${{ input.order }}k${{ k }}', delays: '${{ input.delays }}' }
  const parent = {
    steps: [
      { id: 'each', forEach: { in: [1, 2], as: 'k', steps: { kid: { workflow: { name: 'kid', input } } } } },
      { id: 'last', ...call('parent1', 3) },
    ],
    output: { total: `\${{ ${[0, 1].map((n) => `${item(n)}.kid.total`).join(' + ')} + ${total('last')} }}` },
  }
  const two = (name: string) => ({
    steps: [
      { id: 'a', ...call(`${name}1`, 1) },
      { id: 'b', ...call(`${name}2`, 2) },
    ],
    output: { total: `\${{ ${total('a')} + ${total('b')} }}` },
  })
  const undone = {
    steps: [
      { id: 'a', ...call('undone1', 1), compensate: call('undo1', 2) },
      { id: 'b', ...call('undone2', 3), compensate: call('undo2', 4) },
      { id: 'no', fail: { code: 'NO', message: 'no' } },
    ],
  }
  const crowd = { concurrency: { key: 'crowd', limit: CROWD_LIMIT }, ...two('crowd') }
  return { items, heard, parent, kid: two('kid'), crowd, undone }
}

export const TIED_TOTALS: Record<TiedFamily, number | null> = { items: 9, heard: 3, parent: 7, kid: 3, crowd: 3, undone: null }

/** What is wrong with a run of `undone`: it fails, and undoes what it did, the last first. */
export function judgeUndone(run: Run, steps: readonly Step[], events: readonly CloudEvent[]): string[] {
  if (run.status !== 'failed' || run.error?.code !== 'NO') return [`is ${run.status}: ${JSON.stringify(run.error)}`]
  const undone = ['b.compensate', 'a.compensate']
  const failed = undone.filter((path) => steps.find((step) => step.path === path)?.status !== 'succeeded')
  if (failed.length > 0) return [`has not undone ${failed.join(', ')}`]
  const began = undone.map((path) => events.find(({ type, subject }) => type === 'dev.baton.step.scheduled' && subject === path)!.seq)
  const ended = events.find(({ type, subject }) => type === 'dev.baton.step.succeeded' && subject === undone[0])!.seq
  return began[1]! > ended ? [] : ['has undone a before b was undone']
}

/** What is wrong with the runs of `crowd` together: by their events, at most so many between their admission and their end. */
export function judgeCrowd(spans: readonly { id: string; from: number; to: number }[]): string[] {
  return spans.flatMap(({ id, from }) => {
    const inside = spans.filter((other) => other.from <= from && from < other.to)
    return inside.length > CROWD_LIMIT ? [`crowd ${id} was admitted beside ${inside.length - 1} others`] : []
  })
}
