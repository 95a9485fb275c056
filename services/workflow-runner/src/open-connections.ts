/** What the runner opens, and closes again. */
import { agentTurns, connectRedis, createProducer, databaseUrlOf, type Logger, notifications } from '@baton/runtime'
import { connect, waitForSchema } from '@baton/store'
import type { Settings } from './config.ts'

const SCHEMA_WAIT_MS = 60_000

export type Connections = Awaited<ReturnType<typeof openConnections>>

/** Connects to Postgres (and waits for the schema) and to Redis. */
export async function openConnections(settings: Settings, log: Logger) {
  const sql = connect(databaseUrlOf(settings), {
    max: settings.RUNNER_DATABASE_CONNECTIONS_MAX,
    applicationName: 'workflow-runner',
    genericPlans: true,
    // A server that is gone without a word must not stop the one loop that moves runs.
    statementTimeoutMs: settings.RUNNER_DATABASE_STATEMENT_MS_MAX,
  })
  await waitForSchema(sql, { timeoutMs: SCHEMA_WAIT_MS, onWait: (why) => log.warn(why) })
  const redis = connectRedis(settings.REDIS_URL, { name: 'workflow-runner' })
  // What was sent and not answered is not sent once more by the connection: that would be a second call, which nobody asks about.
  const sending = connectRedis(settings.REDIS_URL, { name: 'workflow-runner-send', whileAway: 'fail' })
  const turns = createProducer(agentTurns, settings.REDIS_URL)
  const notices = createProducer(notifications, settings.REDIS_URL)
  return {
    sql,
    redis,
    sending,
    turns,
    notices,
    async close() {
      await Promise.all([turns.close(), notices.close()])
      redis.disconnect()
      sending.disconnect()
      await sql.end({ timeout: 5 })
    },
  }
}
