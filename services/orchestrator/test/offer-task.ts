import type { Json } from '@baton/contracts'
import { takeUp } from './advance-run.ts'
import { bare, type Orchestrator } from './start-orchestrator.ts'

/** A run that has offered a task. */
export async function offer(
  orchestrator: Orchestrator,
  step: Json = { task: { capabilities: ['ocr'], payload: { page: 7 }, lease: '30s' } },
) {
  const { save, post, get, sql } = orchestrator
  const name = await save({ steps: { scan: step } })
  const run = (await post(`/api/v1/workflows/${name}/runs`, {})).body.id as string
  await takeUp(sql, bare(run))
  const { items } = (await get(`/api/v1/tasks?run=${run}`)).body
  return { run, id: items[0].id as string, at: `/api/v1/tasks/${items[0].id}` }
}
