/** The four probes that every service answers, workers too. */
import type { FastifyInstance } from 'fastify'
import { type Check, type CheckResult, runChecks } from './checks.ts'
import { askedGauges, collectProcessMetrics, gauge, metricsText } from './metrics.ts'
import { REPLICA, VERSION } from './version.ts'

/** Adds /healthz, /ready, /health and /metrics. While the service closes, /ready says so with 503. */
export function addProbes(app: FastifyInstance, options: { name: string; checks: readonly Check[] }): void {
  const startedAt = Date.now()
  let closing = false
  app.addHook('preClose', (done) => {
    closing = true
    done()
  })
  collectProcessMetrics()
  gauge('baton_build_info', 'Always 1; which service this is, in which version', undefined, ['service', 'version']).set(
    { service: options.name, version: VERSION },
    1,
  )
  observeDependencies(options.checks)

  app.get('/healthz', { schema: { hide: true } as object, logLevel: 'warn' }, async () => ({ status: 'ok' }))

  app.get('/ready', { schema: { hide: true } as object, logLevel: 'warn' }, async (_request, reply) => {
    const checks = await check()
    const ready = checks.every((result) => result.ok)
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not ready', checks })
  })

  app.get('/health', { schema: { hide: true } as object, logLevel: 'warn' }, async (_request, reply) => {
    const checks = await check()
    const healthy = checks.every((result) => result.ok)
    return reply.code(healthy ? 200 : 503).send({
      status: healthy ? 'ok' : 'failing',
      service: options.name,
      version: VERSION,
      replica: REPLICA,
      startedAt: new Date(startedAt).toISOString(),
      uptimeMs: Date.now() - startedAt,
      checks,
    })
  })

  app.get('/metrics', { schema: { hide: true } as object, logLevel: 'warn' }, async (_request, reply) => {
    const { contentType, text } = await metricsText()
    return reply.header('content-type', contentType).send(text)
  })

  async function check(): Promise<CheckResult[]> {
    const results = await runChecks(options.checks)
    return closing ? [...results, { name: 'accepting work', ok: false, latencyMs: 0, error: 'the service is stopping' }] : results
  }
}

/** Each scrape asks what /ready asks, so that a dependency that is away is seen from every service. */
function observeDependencies(checks: readonly Check[]): void {
  askedGauges(
    {
      baton_dependency_up: { help: '1 when the dependency answers and is fit for use, else 0', labelNames: ['dependency'] },
      baton_dependency_answer_seconds: { help: 'Time in which the dependency answered the check', labelNames: ['dependency'] },
    },
    async () => {
      const results = await runChecks(checks)
      const level = (name: string, value: number) => ({ labels: { dependency: name }, value })
      return {
        baton_dependency_up: results.map(({ name, ok }) => level(name, ok ? 1 : 0)),
        baton_dependency_answer_seconds: results.map(({ name, latencyMs }) => level(name, latencyMs / 1_000)),
      }
    },
  )
}
