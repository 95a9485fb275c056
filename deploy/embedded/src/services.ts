/** The programs of the platform and their ports (before BATON_PORT_OFFSET). */
export const SERVICES = {
  orchestrator: 8081,
  'workflow-runner': 8082,
  'http-worker': 8083,
  'hitl-worker': 8084,
  fanout: 8085,
  'agent-runner': 8086,
} as const

export type ServiceName = keyof typeof SERVICES

export const SERVICE_NAMES = Object.keys(SERVICES) as ServiceName[]

/** Ports of the embedded PostgreSQL and Redis: beside those of the services, away from the usual 5432 and 6379. */
export const POSTGRES_PORT = 8432
export const REDIS_PORT = 8379

/** Whether the text names a service. */
export function isServiceName(text: string): text is ServiceName {
  return Object.hasOwn(SERVICES, text)
}

/** HTTP_WORKER_REPLICAS for http-worker. */
export function replicasSetting(service: ServiceName): string {
  return `${service.toUpperCase().replaceAll('-', '_')}_REPLICAS`
}
