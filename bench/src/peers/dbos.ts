/** DBOS: a library that keeps workflows and steps in Postgres; runs are started in the process that works on them. */
import postgres from 'postgres'
import { FAN, type RunRequest, STEPS, type WorkflowName } from '../engine.ts'
import { createTargetCaller } from './call-target.ts'
import { connectControl, serveControl } from './control.ts'
import { loadPackage } from './load-package.ts'
import type { Peer, Place } from './peer.ts'

type Workflow = (run: RunRequest) => Promise<unknown>
interface Dbos {
  setConfig(config: Record<string, unknown>): void
  registerWorkflow(workflow: Workflow, options: { name: string }): Workflow
  runStep<T>(step: () => Promise<T>, options: { name: string }): Promise<T>
  recv(topic: string, timeoutSeconds: number): Promise<unknown>
  send(workflowId: string, message: unknown, topic: string): Promise<void>
  launch(): Promise<void>
  startWorkflow(workflow: Workflow, options: { workflowID: string }): (run: RunRequest) => Promise<{ getResult(): Promise<unknown> }>
}

const DAY_SECONDS = 86_400
const CONNECTIONS = 32

export const dbos: Peer = {
  title: 'DBOS',
  packages: { '@dbos-inc/dbos-sdk': '5.3.0' },
  stores: ['postgres'],
  durability: 'each step is a commit in Postgres',
  work,
  async connect({ databaseUrl, ports }) {
    const sql = postgres(databaseUrl!, { max: 1, onnotice: () => {} })
    const done = async (tag: string) => {
      const rows = await sql`select count(*) from dbos.workflow_status where status = 'SUCCESS' and workflow_uuid like ${`${tag}-%`}`
      return Number(rows[0]!.count)
    }
    return connectControl(ports[0]!, done, () => sql.end({ timeout: 1 }))
  },
}

async function work({ folder, targetUrl, databaseUrl, ports }: Place): Promise<void> {
  const { DBOS } = await loadPackage<{ DBOS: Dbos }>(folder, '@dbos-inc/dbos-sdk')
  const place = { systemDatabaseUrl: databaseUrl, systemDatabasePoolSize: CONNECTIONS }
  // Fixed, so that a worker that was killed finds its runs again.
  DBOS.setConfig({ name: 'bench', applicationVersion: '1', executorID: 'worker', logLevel: 'error', ...place })
  const workflows = registerWorkflows(DBOS, targetUrl)
  await DBOS.launch()
  const start = (run: RunRequest) => DBOS.startWorkflow(workflows[run.workflow], { workflowID: run.id })(run)
  await serveControl(ports[0]!, {
    start,
    run: async (run) => (await start(run)).getResult(),
    approve: (run) => DBOS.send(run.id, true, 'approval'),
  })
}

function registerWorkflows(DBOS: Dbos, targetUrl: string): Record<WorkflowName, Workflow> {
  const call = createTargetCaller(targetUrl)
  const step = (run: RunRequest, name: string) => DBOS.runStep(() => call(run, name), { name })
  const sequence: Workflow = async (run) => {
    for (let index = 0; index < STEPS.sequence; index++) await step(run, `s${index}`)
  }
  const fan: Workflow = async (run) => {
    await Promise.all(Array.from({ length: FAN }, (_, index) => step(run, `s${index}`)))
    await step(run, 'join')
  }
  const gate: Workflow = async (run) => {
    await step(run, 's0')
    await DBOS.recv('approval', DAY_SECONDS)
    await step(run, 's1')
  }
  return {
    sequence: DBOS.registerWorkflow(sequence, { name: 'sequence' }),
    fan: DBOS.registerWorkflow(fan, { name: 'fan' }),
    gate: DBOS.registerWorkflow(gate, { name: 'gate' }),
  }
}
