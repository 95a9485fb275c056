/** A Prometheus of the test's own with the configuration of compose/monitoring, which finds the services where the test runs them. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { endProcess, findFreePort, guardProcess, type Teardown, until } from '@baton/testing'
import { parse, stringify } from 'yaml'

const FOLDER = join(import.meta.dirname, '../../compose/monitoring')

export interface Prometheus {
  /** The samples that an expression gives now. */
  query(expr: string): Promise<{ labels: Record<string, string>; value: number }[]>
  get<T>(path: string): Promise<T>
}

/** False where no Prometheus is installed. */
export function hasPrometheus(): boolean {
  return spawnSync('prometheus', ['--version'], { stdio: 'ignore' }).status === 0
}

/** Host and port of each service's replicas, as their heartbeats tell. */
export async function findReplicas(stack: { url: string; adminKey: string }): Promise<Record<string, string[]>> {
  const headers = { authorization: `Bearer ${stack.adminKey}` }
  const ask = async () => {
    const answer = await fetch(`${stack.url}/status`, { headers })
    return ((await answer.json()) as { services?: { name: string; replicas: { url: string }[] }[] }).services ?? []
  }
  await until(async () => (await ask()).length === 6, { timeoutMs: 20_000, what: 'the heartbeats of six services' })
  return Object.fromEntries((await ask()).map(({ name, replicas }) => [name, replicas.map(({ url }) => new URL(url).host)]))
}

/** A scrape may take as long: whoever asks a Redis that hangs answers after 2 s. */
const SCRAPE = '3s'

/**
 * Starts it; `targets` are host:port of the replicas by job. With `impatient` alerts fire when they hold for a second, and not for the minutes that
 * they are given.
 */
export async function startPrometheus(
  t: Teardown,
  targets: Record<string, string[]>,
  options: { impatient?: boolean } = {},
): Promise<Prometheus> {
  const directory = mkdtempSync(join(tmpdir(), 'baton-prometheus-'))
  const port = await findFreePort()
  writeFileSync(join(directory, 'prometheus.yml'), configurationFor({ ...targets, prometheus: [`127.0.0.1:${port}`] }))
  const alerts = readFileSync(join(FOLDER, 'alerts.yml'), 'utf8')
  writeFileSync(join(directory, 'alerts.yml'), options.impatient ? alerts.replaceAll(/^( +for): .*$/gm, '$1: 1s') : alerts)
  const args = [`--config.file=${directory}/prometheus.yml`, `--storage.tsdb.path=${directory}/data`, '--log.level=warn']
  const child = spawn('prometheus', [...args, `--web.listen-address=127.0.0.1:${port}`], { stdio: ['ignore', 'ignore', 'inherit'] })
  const unguard = guardProcess(child.pid!, directory)
  t.teardown(async () => {
    await endProcess(child, 'SIGTERM')
    unguard()
    rmSync(directory, { recursive: true, force: true })
  })
  const url = `http://127.0.0.1:${port}`
  await until(async () => (await fetch(`${url}/-/ready`).catch(() => null))?.ok === true, { timeoutMs: 20_000, what: 'Prometheus' })
  const get = async <T>(path: string) => ((await (await fetch(`${url}${path}`)).json()) as { data: T }).data
  return {
    get,
    async query(expr) {
      const body = new URLSearchParams({ query: expr })
      const response = await fetch(`${url}/api/v1/query`, { method: 'POST', body })
      const answer = (await response.json()) as {
        error?: string
        data: { result: { metric: Record<string, string>; value: [number, string] }[] }
      }
      if (answer.error) throw new Error(`${expr}: ${answer.error}`)
      return answer.data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }))
    },
  }
}

interface ScrapeConfig {
  job_name: string
  dns_sd_configs?: unknown
  static_configs?: { targets: string[] }[]
}

/** The configuration as it stands, save where targets are found and how often they are scraped. */
function configurationFor(targets: Record<string, string[]>): string {
  const config = parse(readFileSync(join(FOLDER, 'prometheus.yml'), 'utf8')) as { scrape_configs: ScrapeConfig[]; global: object }
  config.global = { ...config.global, scrape_interval: SCRAPE, scrape_timeout: SCRAPE, evaluation_interval: '1s' }
  for (const scrape of config.scrape_configs) {
    delete scrape.dns_sd_configs
    scrape.static_configs = [{ targets: targets[scrape.job_name] ?? [] }]
  }
  return stringify(config)
}
