/** Real failures of a real stack, and the alerts that a real Prometheus raises: what the services tell while things are away is what the rules ask for. */
import { createClient } from '@baton/client'
import { findFreePort, until } from '@baton/testing'
import { test } from 'tap'
import { findReplicas, hasPrometheus, startPrometheus } from './run-prometheus.ts'
import { SERVICES, superviseStack } from './supervised-stack.ts'

const skip = hasPrometheus() ? false : 'prometheus is not installed here (apt-get install prometheus)'

test('a Redis that hangs and a replica that is gone raise their alerts, and those end with them', { skip, timeout: 180_000 }, async (t) => {
  const stack = await superviseStack(t)
  const replicas = await findReplicas(stack)
  const gone = `127.0.0.1:${await findFreePort()}`
  const prometheus = await startPrometheus(t, { ...replicas, fanout: [...replicas.fanout!, gone] }, { impatient: true })
  const firing = async () => {
    const alerts = await prometheus.query('ALERTS{alertstate="firing"}')
    return alerts.map(({ labels }) => [labels.alertname, labels.job ?? labels.stream, labels.instance].filter(Boolean).join(' ')).sort()
  }
  const untilFiring = async (wanted: string[]) => {
    let found: string[] = []
    const isSo = async () => {
      found = await firing()
      return found.join() === wanted.join()
    }
    await until(isSo, { timeoutMs: 60_000, what: 'the alerts' }).catch(() => {})
    t.same(found, wanted)
  }
  const replicaDown = `BatonServiceDown fanout ${gone}`
  const client = createClient({ url: stack.url, key: stack.adminKey })
  await client.workflows.put('quick', { steps: [{ id: 'a', set: { done: true } }] })
  await client.runs.start('quick', { waitMs: 20_000 })
  await untilFiring([replicaDown])
  const redisAway = SERVICES.map((service) => `BatonRedisAway ${service} ${replicas[service]![0]}`).sort()
  stack.redis.pause()
  let seen: string[] = []
  const isSeen = async () => {
    seen = (await firing()).filter((alert) => alert.startsWith('BatonRedisAway'))
    return seen.length === redisAway.length
  }
  await until(isSeen, { timeoutMs: 60_000, what: 'every service to tell that Redis is away' }).catch(() => {})
  stack.redis.resume()
  t.same(seen, redisAway)
  await untilFiring([replicaDown])
})
