/** make health: asks every service and prints a table; exit code 1 when one is not well. */
import { composeHealth } from './compose.ts'
import { recordedProcess } from './process-identity.ts'
import { SUPERVISOR } from './run-supervisor.ts'
import { SERVICE_NAMES, SERVICES } from './services.ts'
import { stackPaths } from './stack-paths.ts'
import { runCommand } from './stack-problem.ts'
import { probe } from './stack-programs.ts'
import { loadStackSettings } from './stack-settings.ts'
import { readState, type StackProgramState } from './stack-state.ts'

const paths = stackPaths()

type Row = { name: string; at: string; health: string; well: boolean; note: string }

async function localRows(): Promise<Row[]> {
  const state = readState(paths)
  const settings = loadStackSettings(paths, state ? { ...process.env, BATON_PORT_OFFSET: String(state.portOffset) } : process.env)
  const host = state?.host ?? settings.host
  const services = SERVICE_NAMES.map(async (service): Promise<Row> => {
    const port = SERVICES[service] + (state?.portOffset ?? settings.portOffset)
    const { status, body } = await probe(host, port, '/health')
    const kept = state?.programs.find(({ name }) => name === service)
    const note = [supervisorNote(kept), status === 200 ? '' : checksIn(body)].filter(Boolean).join('; ')
    return { name: service, at: `${host}:${port}`, health: status === 0 ? 'no answer' : String(status), well: status === 200, note }
  })
  const others = (state?.programs ?? []).filter(({ name }) => !SERVICE_NAMES.some((service) => service === name))
  return [...others.map(rowOf), ...(await Promise.all(services)), ...(state ? supervisorRows() : [])]
}

/** Nothing while it lives. */
function supervisorRows(): Row[] {
  if (recordedProcess(paths.pids, SUPERVISOR)) return []
  return [{ name: SUPERVISOR, at: '', health: 'gone', well: false, note: 'what ends is not started again until make up' }]
}

/** Stores and further replicas: known from the supervisor alone. */
function rowOf(program: StackProgramState): Row {
  const at = program.port ? `127.0.0.1:${program.port}` : `pid ${program.pid ?? '–'}`
  return { name: program.name, at, health: program.status, well: program.status === 'running', note: supervisorNote(program) }
}

function supervisorNote(program: StackProgramState | undefined): string {
  if (!program || program.restarts === 0) return ''
  const loop = program.status === 'crashing' ? `crash loop, see .local/logs/${program.name}.log: ` : ''
  return `${loop}started again ${program.restarts} times, last ${program.note}`
}

/** The names of the failing checks in a /health answer, whatever else stands in it. */
function checksIn(body: string): string {
  try {
    const { checks } = JSON.parse(body) as { checks?: Record<string, unknown> | unknown[] }
    const entries = Array.isArray(checks) ? checks.map((check) => [(check as { name?: string }).name, check]) : Object.entries(checks ?? {})
    return entries
      .filter(([, check]) => !(check as { ok?: boolean }).ok)
      .map(([name, check]) => `${name}: ${JSON.stringify(check)}`)
      .join('; ')
      .slice(0, 200)
  } catch {
    return body.slice(0, 200)
  }
}

await runCommand(async () => {
  if (readState(paths)?.mode === 'docker') return composeHealth(paths)
  const rows = await localRows()
  const line = (name: string, at: string, health: string, note: string) =>
    console.log(`${name.padEnd(18)}${at.padEnd(20)}${health.padEnd(12)}${note}`.trimEnd())
  line('service', 'where', '/health', '')
  for (const { name, at, health, note } of rows) line(name, at, health, note)
  if (!readState(paths) && rows.every(({ health }) => health === 'no answer'))
    console.log('\nNothing is running: make up starts the stack.')
  return rows.every(({ well }) => well) ? 0 : 1
})
