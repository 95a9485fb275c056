/** What this is, and how the whole stack is doing. */
import { Heartbeat, keys, PARTITION_COUNT, Status } from '@baton/contracts'
import { VERSION } from '@baton/runtime'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Deps } from '../app.ts'
import { addRoute } from '../route.ts'

/** A replica that has said nothing for this long counts as gone. */
const SILENT_MS = 15_000
const LANES = Array.from({ length: PARTITION_COUNT }, (_, lane) => lane)
const Root = z.object({ name: z.string(), version: z.string() })

/** GET / and /status. */
export function statusRoutes(app: FastifyInstance, { redis, queues }: Deps): void {
  addRoute(app, {
    method: 'GET',
    url: '/',
    tag: 'status',
    summary: 'Name and version',
    answers: { 200: Root },
    handle: () => ({ name: 'baton', version: VERSION }),
  })

  addRoute(app, {
    method: 'GET',
    url: '/status',
    tag: 'status',
    summary: 'Services and their replicas, depths of the queues, connected clients',
    answers: { 200: Status },
    async handle() {
      const [replicas, depths] = await Promise.all([readReplicas(), readDepths()])
      return {
        services: servicesOf(replicas),
        queues: depths,
        activeLocks: 0,
        webSocketClients: replicas.reduce((sum, replica) => sum + (replica.clients ?? 0), 0),
        mcpTools: [],
      }
    },
  })

  async function readReplicas(): Promise<Heartbeat[]> {
    const beats = Object.values(await redis.hgetall(keys.replicas)).map((text) => Heartbeat.safeParse(parse(text)).data)
    return beats.filter((beat) => beat !== undefined).filter((beat) => Date.now() - beat.at < SILENT_MS)
  }

  async function readDepths(): Promise<Record<string, number>> {
    const streams = { facts: keys.facts, calls: keys.calls }
    const depths = Object.entries(streams).map(async ([name, keyOf]) => {
      const lengths = await Promise.all(LANES.map((lane) => redis.xlen(keyOf(lane))))
      return [name, lengths.reduce((sum, length) => sum + length, 0)] as const
    })
    const jobs = Object.entries(queues).map(async ([name, queue]) => [name, await queue.depth()] as const)
    return Object.fromEntries(await Promise.all([...depths, ...jobs]))
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function servicesOf(beats: Heartbeat[]): z.infer<typeof Status>['services'] {
  const now = Date.now()
  const byService = Map.groupBy(beats, (beat) => beat.service)
  return [...byService].sort().map(([name, replicas]) => ({
    name,
    replicas: replicas
      .map(({ replica, url, version, at }) => ({ id: replica, url, version, seenMsAgo: Math.max(0, now - at) }))
      .sort((a, b) => a.id.localeCompare(b.id)),
  }))
}
