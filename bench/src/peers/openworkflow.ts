/** openworkflow: a library that keeps runs and steps in Postgres; workers poll for runs. */
import postgres from 'postgres'
import { CALLS_AT_ONCE, FAN, type RunRequest, STEPS, type WorkflowName } from '../engine.ts'
import { createTargetCaller } from './call-target.ts'
import { connectControl, serveControl } from './control.ts'
import { loadPackage } from './load-package.ts'
import type { Peer, Place } from './peer.ts'

interface Steps {
  run<T>(options: { name: string }, step: () => Promise<T>): Promise<T>
  waitForSignal(options: { signal: string; timeout: string }): Promise<unknown>
}
type Definition = (context: { input: RunRequest; step: Steps }) => Promise<unknown>
interface Workflow {
  run(input: RunRequest): Promise<{ result(): Promise<unknown> }>
}
interface OpenWorkflow {
  defineWorkflow(options: { name: string }, definition: Definition): Workflow
  newWorker(options: { concurrency: number }): { start(): Promise<void> }
  sendSignal(options: { signal: string; data: unknown }): Promise<unknown>
}
interface Packages {
  OpenWorkflow: new (options: { backend: object }) => OpenWorkflow
  BackendPostgres: { connect(url: string): Promise<object> }
}

export const openworkflow: Peer = {
  title: 'openworkflow',
  packages: { openworkflow: '0.10.1', postgres: '3.4.9' },
  stores: ['postgres'],
  durability: 'each step is a commit in Postgres',
  idleRunsMax: 15, // each takes a second: it is polled for
  work,
  async connect({ databaseUrl, ports }) {
    const sql = postgres(databaseUrl!, { max: 1, onnotice: () => {} })
    const done = async (tag: string) => {
      const rows = await sql`
        select count(*) from openworkflow.workflow_runs where status = 'completed' and input->>'id' like ${`${tag}-%`}`
      return Number(rows[0]!.count)
    }
    return connectControl(ports[0]!, done, () => sql.end({ timeout: 1 }))
  },
}

async function work({ folder, targetUrl, databaseUrl, ports }: Place): Promise<void> {
  const { OpenWorkflow } = await loadPackage<Packages>(folder, 'openworkflow')
  const { BackendPostgres } = await loadPackage<Packages>(folder, 'openworkflow/postgres')
  const engine = new OpenWorkflow({ backend: await BackendPostgres.connect(databaseUrl!) })
  const workflows = defineWorkflows(engine, targetUrl)
  await engine.newWorker({ concurrency: CALLS_AT_ONCE }).start()
  await serveControl(ports[0]!, {
    start: (run) => workflows[run.workflow].run(run),
    run: async (run) => (await workflows[run.workflow].run(run)).result(),
    approve: (run) => engine.sendSignal({ signal: `approve:${run.id}`, data: true }),
  })
}

function defineWorkflows(engine: OpenWorkflow, targetUrl: string): Record<WorkflowName, Workflow> {
  const call = createTargetCaller(targetUrl)
  const sequence: Definition = async ({ input, step }) => {
    for (let index = 0; index < STEPS.sequence; index++) await step.run({ name: `s${index}` }, () => call(input, `s${index}`))
  }
  const fan: Definition = async ({ input, step }) => {
    await Promise.all(Array.from({ length: FAN }, (_, index) => step.run({ name: `s${index}` }, () => call(input, `s${index}`))))
    await step.run({ name: 'join' }, () => call(input, 'join'))
  }
  const gate: Definition = async ({ input, step }) => {
    await step.run({ name: 's0' }, () => call(input, 's0'))
    await step.waitForSignal({ signal: `approve:${input.id}`, timeout: '1d' })
    await step.run({ name: 's1' }, () => call(input, 's1'))
  }
  return {
    sequence: engine.defineWorkflow({ name: 'sequence' }, sequence),
    fan: engine.defineWorkflow({ name: 'fan' }, fan),
    gate: engine.defineWorkflow({ name: 'gate' }, gate),
  }
}
