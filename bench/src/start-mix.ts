/** Finished runs as a shop would leave them: three workflows that are used unequally, most of their runs succeeded, some failed, a few cancelled. */
import { setTimeout as delay } from 'node:timers/promises'
import type { BatonClient } from './baton-client.ts'
import { newTag, STARTS_AT_ONCE, STEPS } from './engine.ts'
import type { Target } from './start-target.ts'
import { inParallel } from './statistics.ts'

/** Of a hundred runs sixty, thirty-nine and one. The last is rare on purpose: lists of it match little. */
const WORKFLOWS = [
  { name: 'bench-orders', below: 60 },
  { name: 'bench-refunds', below: 99 },
  { name: 'bench-audits', below: 100 },
] as const
/** HTTP steps that a run makes before it ends. */
const STEPS_OF = { succeeded: STEPS.sequence, failed: 7, cancelled: 5 } as const
type Ending = keyof typeof STEPS_OF
/** Runs begin again with the first of the mix after so many, and their workflows after a hundred. */
const CYCLE = 2_000
const IN_TIME_MS = 120_000
const POLL_MS = 50

/** The workflow of the run with this number. */
function workflowOf(index: number): string {
  const chance = index % 100
  const { name } = WORKFLOWS.find(({ below }) => chance < below)!
  return name
}

/** 5 % fail; 1 % are cancelled, none of the rare workflow among them: to list those is to find nothing. */
function endingOf(index: number): Ending {
  const block = Math.floor((index % CYCLE) / 100)
  if (block === 3) return 'failed'
  return block === 11 && index % 5 === 0 ? 'cancelled' : 'succeeded'
}

function stepsOf(targetUrl: string, ending: Ending): unknown[] {
  const calls = Array.from({ length: STEPS_OF[ending] }, (_, index) => ({
    id: `s${index}`,
    http: { url: `${targetUrl}/s/\${{ input.tag }}/\${{ input.id }}/s${index}` },
  }))
  if (ending === 'failed') return [...calls, { id: 'refuse', fail: { code: 'OUT_OF_STOCK', message: 'wanted by the mix' } }]
  return ending === 'cancelled' ? [...calls, { id: 'rest', wait: { for: '24h' } }] : calls
}

/** Runs `count` of the mix to their ends, and resolves with the tag that they carry as a label. */
export async function startMix(client: BatonClient, target: Target, count: number): Promise<string> {
  const versions = await saveMix(client, target.url)
  const tag = newTag()
  const wanted: Record<Ending, number> = { succeeded: 0, failed: 0, cancelled: 0 }
  const toCancel: string[] = []
  await inParallel(count, STARTS_AT_ONCE, async (index) => {
    const [name, ending] = [workflowOf(index), endingOf(index)]
    wanted[ending]++
    const body = { input: { tag, id: `${tag}-${index}` }, labels: { tag }, version: versions.get(`${name} ${ending}`) }
    const { id } = await client.call<{ id: string }>('POST', `/workflows/${name}/runs`, body)
    if (ending === 'cancelled') toCancel.push(id)
  })
  await untilCounted(client, tag, 'waiting', wanted.cancelled)
  await inParallel(
    toCancel.length,
    STARTS_AT_ONCE,
    async (index) => void (await client.call('POST', `/runs/${toCancel[index]}/cancel`, {})),
  )
  for (const [ending, runs] of Object.entries(wanted)) await untilCounted(client, tag, ending, runs)
  return tag
}

/** Each workflow in a version for each ending, by `name ending`. */
async function saveMix(client: BatonClient, targetUrl: string): Promise<Map<string, number>> {
  const versions = new Map<string, number>()
  for (const { name } of WORKFLOWS) {
    for (const ending of Object.keys(STEPS_OF) as Ending[]) {
      const { version } = await client.call<{ version: number }>('PUT', `/workflows/${name}`, { steps: stepsOf(targetUrl, ending) })
      versions.set(`${name} ${ending}`, version)
    }
  }
  return versions
}

async function untilCounted(client: BatonClient, tag: string, status: string, wanted: number): Promise<void> {
  const deadline = performance.now() + IN_TIME_MS
  for (;;) {
    const found = await client.count(tag, status)
    if (found >= wanted) return
    if (performance.now() > deadline) throw new Error(`only ${found} of ${wanted} runs of the mix are ${status} after ${IN_TIME_MS} ms`)
    await delay(POLL_MS)
  }
}
