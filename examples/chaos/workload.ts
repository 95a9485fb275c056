/** The runs that chaos is done to: a family for each way a run can go, and what each has to end with. */
import type { BatonClient, Json, Run } from '@baton/client'
import type { Random } from './random.ts'
import { TIED_FAMILIES, TIED_TOTALS, type TiedFamily, tiedDefinitions } from './workload-tied.ts'

export const FAMILIES = ['chain', 'fan', 'timed', 'asked', 'drafted', 'doomed', 'slow', ...TIED_FAMILIES] as const
export type Family = (typeof FAMILIES)[number] | TiedFamily

/** A run that was started: answered with 2xx, so it may not be lost. */
export interface Started {
  id: string
  family: Family
  /** Part of the path of every call that the run makes, and of no other run's. */
  order: string
}

/** How long the calls of `slow` take. */
export const SLOW_MS = 40_000

const RETRY = { attempts: 12, initial: '100ms', max: '1s' }
const RANDOM_DELAYS = 8

const call = (name: string, delay: number | string, more: Record<string, Json> = {}) => ({
  http: {
    url: `\${{ input.shop }}/orders/\${{ input.order }}.${name}`,
    query: { delayMs: typeof delay === 'number' ? `\${{ input.delays[${delay}] }}` : delay, ...more },
  },
  retry: RETRY,
})
const refund = { http: { method: 'POST', url: '${{ input.shop }}/refunds', body: { orderId: '${{ input.order }}' } }, retry: RETRY }
const total = (name: string) => `steps.${name}.output.body.total`

const chain = {
  steps: [
    ...[1, 2, 3, 4, 5].map((n) => ({ id: `s${n}`, ...call(`s${n}`, n, n === 3 ? { failures: '1' } : {}) })),
    { id: 'refund', ...refund },
  ],
  output: { total: `\${{ ${[1, 2, 3, 4, 5].map((n) => total(`s${n}`)).join(' + ')} }}`, refund: '${{ steps.refund.output.body.id }}' },
}

const fan = {
  steps: {
    first: call('first1', 0),
    ...Object.fromEntries([1, 2, 3, 4, 5, 6].map((n) => [`b${n}`, { needs: ['first'], ...call(`b${n}`, n) }])),
    sum: { set: { total: `\${{ ${[1, 2, 3, 4, 5, 6].map((n) => total(`b${n}`)).join(' + ')} }}` } },
    last: { needs: ['sum'], ...call('last2', 7) },
  },
  output: { total: '${{ steps.sum.output.total }}', refund: null },
}

const timed = {
  steps: [
    { id: 'pause', wait: { for: '1500ms' } },
    { id: 'flaky', ...call('flaky4', 1, { failures: '2' }) },
    {
      id: 'route',
      switch: {
        cases: [{ if: `${total('flaky')} == 4`, steps: [{ id: 'inner', ...call('inner5', 2) }] }],
        default: { steps: [{ id: 'never', fail: { code: 'NO', message: 'no' } }] },
      },
    },
    { id: 'again', wait: { for: '700ms' } },
    { id: 'last', ...call('last6', 3) },
  ],
  output: { total: `\${{ ${total('flaky')} + ${total('last')} }}`, refund: null },
}

const asked = {
  steps: [
    { id: 'order', ...call('order7', 1) },
    { id: 'ask', approval: { title: 'Refund ${{ input.order }}?', assignees: ['role:operator'], quorum: 2, onReject: 'continue' } },
    { id: 'refund', if: 'steps.ask.output.decision == "approve"', ...refund },
    { id: 'last', ...call('last8', 2) },
  ],
  output: { total: `\${{ ${total('order')} + ${total('last')} }}`, decision: '${{ steps.ask.output.decision }}' },
}

const drafted = {
  steps: [
    { id: 'order', ...call('order3', 1) },
    {
      id: 'draft',
      agent: {
        model: 'mock/research',
        instructions: 'Answer.',
        prompt: 'What of ${{ input.order }}?',
        output: { type: 'object', required: ['answer'], properties: { answer: { type: 'string' } } },
      },
    },
    { id: 'last', needs: ['draft'], ...call('last9', 2) },
  ],
  output: { total: `\${{ ${total('order')} + ${total('last')} }}`, refund: null },
}

/** Nobody ever decides: only a cancel ends it. */
const doomed = {
  steps: [
    { id: 's1', ...call('s1', 1) },
    { id: 's2', ...call('s2', 2) },
    { id: 'ask', approval: { title: 'Never?', assignees: ['user:nobody'] } },
    { id: 'never', ...call('never1', 3) },
  ],
}

const slow = {
  steps: [
    { id: 'held', timeout: '120s', ...call('held1', `${SLOW_MS}`) },
    { id: 'last', ...call('last2', 1) },
  ],
  output: { total: `\${{ ${total('held')} + ${total('last')} }}`, refund: null },
}

const own = { chain, fan, timed, asked, drafted, doomed, slow }
const DEFINITIONS: Record<Family, Record<string, unknown>> = { ...own, ...tiedDefinitions(call) }
const TOTALS: Record<Family, number | null> = {
  chain: 15,
  fan: 21,
  timed: 10,
  asked: 15,
  drafted: 12,
  doomed: null,
  slow: 3,
  ...TIED_TOTALS,
}

/** What is wrong with how a run of this family ended. */
export function judgeOutput({ family, order }: Started, run: Run): string[] {
  if (family === 'undone') return [] // judgeUndone
  if (family === 'doomed') return run.status === 'cancelled' ? [] : [`was cancelled, and is ${run.status}`]
  if (run.status !== 'succeeded') return [`is ${run.status}: ${JSON.stringify(run.error)}`]
  const output = run.output as Record<string, Json>
  const wrong: string[] = []
  if (output.total !== TOTALS[family]) wrong.push(`has the total ${output.total}, not ${TOTALS[family]}`)
  if (family === 'chain' && !/^rf_\d+$/.test(String(output.refund))) wrong.push(`has the refund ${output.refund}`)
  if (family === 'heard' && output.told !== order) wrong.push(`was told ${output.told}`)
  if (family === 'heard' && output.back !== `${run.id}/own/0`) wrong.push(`heard ${output.back} of itself`)
  return wrong
}

/** Saves the definitions of all families. */
export async function saveFamilies(client: BatonClient): Promise<void> {
  for (const family of Object.keys(DEFINITIONS) as Family[])
    await client.workflows.put(family, { name: family, ...DEFINITIONS[family] } as never)
}

/** Starts one run; the shop's answers take up to `delayMsMax`. */
export async function startOne(
  client: BatonClient,
  shop: string,
  family: Family,
  order: string,
  random: Random,
  delayMsMax = 300,
): Promise<Started> {
  const delays = Array.from({ length: RANDOM_DELAYS }, () => random.whole(0, delayMsMax))
  const run = await client.runs.start(family, { input: { shop, order, delays }, labels: { order }, idempotencyKey: order })
  return { id: run.id, family, order }
}
