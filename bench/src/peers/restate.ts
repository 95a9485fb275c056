/** Restate: a server with a log and a store of its own, which calls the workflows in a process of the user's. */

import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Agent } from 'undici'
import { FAN, type RunRequest, STEPS } from '../engine.ts'
import { createTargetCaller } from './call-target.ts'
import { postJson } from './control.ts'
import { loadPackage } from './load-package.ts'
import type { Peer, Place } from './peer.ts'

interface Context {
  run<T>(name: string, step: () => Promise<T>): Promise<T>
  promise(name: string): Promise<unknown> & { resolve(value: unknown): Promise<void> }
}
type Handler = (context: Context, run: RunRequest) => Promise<unknown>
interface Restate {
  workflow(options: { name: string; handlers: Record<string, Handler> }): object
  serve(options: { services: object[]; port: number }): Promise<number>
  RestatePromise: { all(steps: Promise<unknown>[]): Promise<unknown[]> }
}

const READY_MS = 30_000

export const restate: Peer = {
  title: 'Restate',
  packages: { '@restatedev/restate-server': '1.7.12', '@restatedev/restate-sdk': '1.17.2' },
  stores: [],
  durability: 'each step is written to the log of its server, in the settings it comes with',
  server: serverAt,
  work,
  connect,
}

const portsOf = ({ ports: [worker, ingress, admin, node] }: Place) => ({ worker, ingress, admin, node })

function serverAt(place: Place): ReturnType<NonNullable<Peer['server']>> {
  const { ingress, admin, node } = portsOf(place)
  const program = `restate-server-${process.platform}-${process.arch}`
  return {
    command: join(place.folder, 'node_modules/@restatedev', program, 'bin/restate-server'),
    args: ['--base-dir', place.dataDir],
    env: {
      DO_NOT_TRACK: '1',
      RESTATE_DISABLE_TELEMETRY: 'true',
      RESTATE_LISTEN_MODE: 'tcp',
      RESTATE_BIND_IP: '127.0.0.1',
      RESTATE_BIND_ADDRESS: `127.0.0.1:${node}`,
      RESTATE_ADVERTISED_ADDRESS: `http://127.0.0.1:${node}/`,
      RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ingress}`,
      RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${admin}`,
      RESTATE_LOG_FILTER: 'warn',
    },
    async ready() {
      const deadline = performance.now() + READY_MS
      while (!(await answers(`http://127.0.0.1:${admin}/health`)) || !(await answers(`http://127.0.0.1:${ingress}/restate/health`))) {
        if (performance.now() > deadline) throw new Error(`the Restate server did not come up within ${READY_MS} ms`)
        await delay(50)
      }
    },
  }
}

async function answers(url: string): Promise<boolean> {
  return fetch(url).then(
    (response) => response.ok,
    () => false,
  )
}

async function connect(place: Place): ReturnType<Peer['connect']> {
  const { worker, ingress, admin } = portsOf(place)
  const agent = new Agent({ connections: 256, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 })
  const post = (port: number | undefined, path: string, body: unknown) => postJson(agent, `http://127.0.0.1:${port}${path}`, body)
  await post(admin, '/deployments', { uri: `http://127.0.0.1:${worker}` })
  return {
    start: async (run) => void (await post(ingress, `/${run.workflow}/${run.id}/run/send`, run)),
    run: async (run) => void (await post(ingress, `/${run.workflow}/${run.id}/run`, run)),
    approve: async (run) => void (await post(ingress, `/${run.workflow}/${run.id}/approve`, run)),
    async done(tag) {
      const query = `select count(*) as done from sys_invocation_status where status = 'completed' and target_service_key like '${tag}-%' and target_handler_name = 'run'`
      const { rows } = (await post(admin, '/query', { query })) as { rows: { done: number }[] }
      return Number(rows[0]?.done ?? 0)
    },
    close: () => agent.destroy(),
  }
}

async function work({ folder, targetUrl, ports }: Place): Promise<void> {
  process.env.RESTATE_LOGGING = 'WARN'
  const sdk = await loadPackage<Restate>(folder, '@restatedev/restate-sdk')
  const call = createTargetCaller(targetUrl)
  const step = (context: Context, run: RunRequest, name: string) => context.run(name, () => call(run, name))
  const sequence: Handler = async (context, run) => {
    for (let index = 0; index < STEPS.sequence; index++) await step(context, run, `s${index}`)
  }
  const fan: Handler = async (context, run) => {
    await sdk.RestatePromise.all(Array.from({ length: FAN }, (_, index) => step(context, run, `s${index}`)))
    await step(context, run, 'join')
  }
  const gate: Handler = async (context, run) => {
    await step(context, run, 's0')
    await context.promise('approval')
    await step(context, run, 's1')
  }
  const approve: Handler = (context) => context.promise('approval').resolve(true)
  const services = [
    sdk.workflow({ name: 'sequence', handlers: { run: sequence } }),
    sdk.workflow({ name: 'fan', handlers: { run: fan } }),
    sdk.workflow({ name: 'gate', handlers: { run: gate, approve } }),
  ]
  await sdk.serve({ services, port: ports[0]! })
}
