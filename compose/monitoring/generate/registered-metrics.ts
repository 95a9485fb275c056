/**
 * Every metric that the services register, by service: their own code is asked, with nothing behind it. One after the other in one process, so
 * what is there before the first of them is what every service has.
 */
import { createLogger, createService, describeMetrics, type MetricDescription } from '../../../packages/runtime/src/index.ts'

/** Of the kit, and told by the services that do it: a bundle leaves out what its service does not use. */
const BY_USE = /^baton_(facts|jobs?|stream)_/

/** A metric and the service that has it; `every service` for those of the kit, `those that do it` where a service may go without. */
export interface RegisteredMetric extends MetricDescription {
  service: string
}

const EVERY = 'every service'
const nothing = () => 0
const never = () => new Promise<never>(() => {})

/** Registers the metrics of each service, in the order in which work flows. */
const SERVICES: Record<string, () => Promise<unknown>> = {
  orchestrator: async () => {
    const { createMetrics } = await import('../../../services/orchestrator/src/metrics.ts')
    const asked = { openRuns: never, openTasks: never, backlog: never, streams: never, queues: never, redisMemory: never }
    createMetrics({ waiters: nothing, ...asked })
  },
  'workflow-runner': async () => {
    const { createMetrics } = await import('../../../services/workflow-runner/src/metrics.ts')
    createMetrics({ cachedRuns: nothing, cachedBytes: nothing, heldPartitions: nothing })
  },
  'http-worker': async () => {
    const { observeAnswers, observeHeld, observeHosts } = await import('../../../services/http-worker/src/metrics.ts')
    observeHeld({ running: nothing, waiting: nothing })
    observeAnswers({ taken: nothing, waiting: nothing })
    observeHosts(undefined, nothing)
  },
  'hitl-worker': async () => {
    const { createNotifyMetrics } = await import('../../../services/hitl-worker/src/metrics.ts')
    createNotifyMetrics(never)
  },
  'agent-runner': async () => {
    const { createTurnMetrics } = await import('../../../services/agent-runner/src/metrics.ts')
    createTurnMetrics()
  },
  fanout: async () => {
    const { createFanoutMetrics } = await import('../../../services/fanout/src/metrics.ts')
    createFanoutMetrics({ websockets: nothing, streams: nothing, subscriptions: nothing, runs: nothing })
  },
}

/** All of them: those of the kit first, then service by service, each in alphabetical order. */
export async function registeredMetrics(): Promise<RegisteredMetric[]> {
  await createService({ name: 'any', logger: createLogger({ name: 'any', level: 'silent' }), checks: [] }).close()
  const found = new Map<string, RegisteredMetric>()
  const collect = (service: string) => {
    const fresh = describeMetrics().filter(({ name }) => !found.has(name))
    for (const metric of fresh.sort((a, b) => a.name.localeCompare(b.name))) {
      found.set(metric.name, { ...metric, service: service === EVERY && BY_USE.test(metric.name) ? 'those that do it' : service })
    }
  }
  collect(EVERY)
  for (const [service, register] of Object.entries(SERVICES)) {
    await register()
    collect(service)
  }
  return [...found.values()]
}
