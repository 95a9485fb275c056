/** PostgreSQL in a container, for tests on machines where a Docker engine answers. */
import postgres from 'postgres'
import { GenericContainer, getContainerRuntimeClient } from 'testcontainers'
import { until } from './until.ts'

const IMAGE = 'postgres:18-alpine'
const PORT = 5432

/** Whether a Docker engine answers. */
export async function engineAnswers(): Promise<boolean> {
  return getContainerRuntimeClient().then(
    () => true,
    () => false,
  )
}

/** Starts the image of POSTGRES_IMAGE (postgres:18-alpine); data are in memory as far as the engine lets them, and gone at the end. */
export async function startPostgresContainer(): Promise<{ url: string; stop(): Promise<void> }> {
  const container = await new GenericContainer(process.env.POSTGRES_IMAGE ?? IMAGE)
    .withEnvironment({ POSTGRES_USER: 'baton', POSTGRES_PASSWORD: 'baton', POSTGRES_DB: 'postgres' })
    .withCommand(['postgres', '-c', 'max_connections=500', '-c', 'fsync=off'])
    .withExposedPorts(PORT)
    .withStartupTimeout(120_000)
    .start()
  const url = `postgres://baton:baton@${container.getHost()}:${container.getMappedPort(PORT)}/postgres`
  // The image restarts its server once while it sets itself up: only a query tells that it is there to stay.
  await until(() => isThere(url), { timeoutMs: 60_000, what: 'PostgreSQL in its container' })
  return {
    url,
    async stop() {
      await container.stop()
    },
  }
}

async function isThere(url: string): Promise<boolean> {
  const sql = postgres(url, { max: 1, connect_timeout: 2, onnotice: () => {} })
  try {
    await sql`select 1`
    await new Promise((resolve) => setTimeout(resolve, 300))
    await sql`select 1`
    return true
  } catch {
    return false
  } finally {
    await sql.end({ timeout: 1 }).catch(() => {})
  }
}
