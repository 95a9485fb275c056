import { Status } from '@baton/contracts'
import type { Connection } from '../connection.ts'
import { type Finding, ok, problem, reasonOf, warning } from './finding.ts'

const TIMEOUT_MS = 5_000
/** Without these runs do not end, or people are not asked. */
const NEEDED = ['orchestrator', 'workflow-runner', 'http-worker', 'hitl-worker'] as const
/** Without these live events or agent steps are missing. */
const WANTED = ['fanout', 'agent-runner'] as const

/** What the API says of itself, its stores and the other services. */
export async function lookAtApi({ url, key }: Connection): Promise<Finding[]> {
  const root = url.replace(/\/+$/, '')
  let ready: Response
  try {
    ready = await fetch(`${root}/ready`, { signal: AbortSignal.timeout(TIMEOUT_MS) })
  } catch (error) {
    const cause = reasonOf((error as Error).cause ?? error)
    return [
      problem('api', `${root} does not answer: ${cause}`, 'Start the orchestrator (make up), or name its address by --url or BATON_URL.'),
    ]
  }
  const findings = [ok('api', `${root} answers`), await readinessOf(ready)]
  const status = await fetch(`${root}/status`, { headers: { authorization: `Bearer ${key}` }, signal: AbortSignal.timeout(TIMEOUT_MS) })
  if (status.status === 401 || status.status === 403) {
    return [
      ...findings,
      problem('api key', `the API refuses the key (${status.status})`, 'Give a key that may read: baton login, --key or BATON_KEY.'),
    ]
  }
  const parsed = Status.safeParse(await status.json().catch(() => undefined))
  if (!status.ok || !parsed.success) {
    return [
      ...findings,
      problem(
        'services',
        `/status answers ${status.status}`,
        'It reads Redis: look at the finding of redis, and at the log of the orchestrator.',
      ),
    ]
  }
  return [...findings, ...servicesIn(parsed.data)]
}

async function readinessOf(response: Response): Promise<Finding> {
  if (response.status === 200) return ok('ready', 'the orchestrator reaches its stores')
  const body = (await response.json().catch(() => ({}))) as { checks?: { name?: string; ok?: boolean; error?: string }[] }
  const failing = (Array.isArray(body.checks) ? body.checks : []).filter(({ ok: isWell }) => !isWell)
  const list = failing.map(({ name, error }) => `${name}: ${error}`).join('; ')
  return problem(
    'ready',
    `the orchestrator is not ready (${response.status})${list && `: ${list}`}`,
    'Bring that store back; the service goes on by itself.',
  )
}

type Services = ReturnType<typeof Status.parse>['services']

function servicesIn({ services }: { services: Services }): Finding[] {
  const names = new Set(services.filter(({ replicas }) => replicas.length > 0).map(({ name }) => name))
  const list = services.map(({ name, replicas }) => `${name} ${replicas.length}`).join(', ')
  const findings = [ok('services', list || 'none has said within 15 s that it lives')]
  for (const name of NEEDED.filter((service) => !names.has(service)))
    findings.push(
      problem(
        'services',
        `no ${name} has said within 15 s that it lives`,
        `Start one (make start-${name}, or its container) and look at its log.`,
      ),
    )
  for (const name of WANTED.filter((service) => !names.has(service)))
    findings.push(
      warning('services', `no ${name} has said within 15 s that it lives`, `Start one if you use what it does (make start-${name}).`),
    )
  return [...findings, versionsIn(services)]
}

function versionsIn(services: Services): Finding {
  const byVersion = Map.groupBy(
    services.flatMap(({ name, replicas }) => replicas.map(({ version }) => ({ name, version }))),
    ({ version }) => version,
  )
  const list = [...byVersion].map(([version, all]) => `${version} (${[...new Set(all.map(({ name }) => name))].join(', ')})`).join('; ')
  if (byVersion.size > 1)
    return warning('versions', list, 'Finish the upgrade: all replicas should be of one version, save while they are rolled.')
  return ok('versions', list || 'none known')
}
