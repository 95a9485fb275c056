/** The four probes that every service answers, workers too. */
import type { FastifyInstance } from 'fastify'
import { type Check, type CheckResult, runChecks } from './checks.ts'
import { collectProcessMetrics, metricsText } from './metrics.ts'
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
