import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { findFreePort, isPortFree } from '../src/ports.ts'
import { POSTGRES_PORT, REDIS_PORT, replicasSetting, SERVICE_NAMES, SERVICES } from '../src/services.ts'
import { stackPaths } from '../src/stack-paths.ts'
import { temporaryFolder } from './temporary-folder.ts'

const COMMANDS = resolve(import.meta.dirname, '../src')

/** Stands in for a service: serves /health. */
const STAND_IN = `
import { createServer } from 'node:http'
const server = createServer((request, response) => response.end('{"status":"ok"}'))
server.listen(Number(process.env.PORT), process.env.HOST)
process.on('SIGTERM', () => { server.closeAllConnections(); server.close(() => process.exit(0)) })
`

type Teardown = { teardown(action: () => unknown): void }

/** One service beside the stores: it starts when they are ready, so a stack of it alone is up soon. */
export const ONE_SERVICE = {
  ...Object.fromEntries(SERVICE_NAMES.map((name) => [replicasSetting(name), '0'])),
  FANOUT_REPLICAS: '1',
}

/** A checkout on ports that are free now, with stand-ins for the services; `run` runs a command of the stack on it. */
export async function standInCheckout(t: Teardown, more: Record<string, string> = {}) {
  const root = temporaryFolder(t)
  for (const service of SERVICE_NAMES) {
    mkdirSync(join(root, 'services', service, 'src'), { recursive: true })
    writeFileSync(join(root, 'services', service, 'src', 'main.ts'), STAND_IN)
  }
  return { root, ...(await commandsOn(t, root, more)) }
}

/** The commands of the stack on a checkout, on ports that are free now. */
export async function commandsOn(t: Teardown, root: string, more: Record<string, string> = {}) {
  const portOffset = await freeOffset()
  const env = {
    PATH: process.env['PATH'],
    HOME: root,
    BATON_STACK_ROOT: root,
    BATON_MODE: 'local',
    BATON_PORT_OFFSET: String(portOffset),
    ...more,
  }
  const run = async (command: string, settings: Record<string, string> = {}, args: string[] = []) => {
    const file = join(COMMANDS, `${command}.ts`)
    const child = spawn(process.execPath, ['--conditions=@baton/source', file, ...args], {
      env: { ...env, ...settings },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk))
    const [code] = (await once(child, 'close')) as [number | null]
    return { code, said }
  }
  t.teardown(async () => {
    const { code, said } = await run('down', { BATON_MODE: 'local' })
    if (code !== 0) throw new Error(`the stack of the test could not be stopped: ${said}`)
  })
  return { paths: stackPaths(root), run, portOffset, env }
}

async function freeOffset(): Promise<number> {
  for (;;) {
    const offset = (await findFreePort()) - POSTGRES_PORT // so that all of them are below those that the system hands out
    const wanted = [...Object.values(SERVICES), POSTGRES_PORT, REDIS_PORT].map((port) => port + offset)
    if ((await Promise.all(wanted.map((port) => isPortFree(port)))).every(Boolean)) return offset
  }
}
