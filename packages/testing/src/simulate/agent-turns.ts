/** The queue of agent turns and who works on it, told in short: a job is there once under its id, and is removed when it is done or given up. */
import { type AgentTurn, callIdOf, ENTRY_FIELD, keys, partitionOf } from '@baton/contracts'
import type { WorkerWorld } from './calls-worker.ts'
import { createLink } from './link.ts'
import { connectMemoryRedis } from './redis-client.ts'
import type { Process } from './scheduler.ts'
import { answerOf } from './shop.ts'
import { connectMemoryStore } from './store-client.ts'

interface Job {
  turn: AgentTurn
  state: 'waiting' | 'active' | 'kept'
  /** When it is given out again if its worker says nothing. */
  until: number
}

export interface AgentQueue {
  jobs: Map<string, Job>
  /** A producer of one process. */
  producer(owner: Process): { addMany(turns: readonly AgentTurn[]): Promise<void> }
}

const STALLED_MS = 6_000
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** An empty queue. It refuses at once while Redis is away, as a producer of BullMQ is set up to do. */
export function createAgentQueue(world: WorkerWorld): AgentQueue {
  const jobs = new Map<string, Job>()
  return {
    jobs,
    producer(owner) {
      const link = createLink(world.scheduler, world.weather, owner, world.dice)
      return {
        async addMany(turns) {
          await link.request(() => {
            if (world.scheduler.now() < world.awayUntil || world.weather.chance('refused')) throw new Error('Redis is away')
            for (const turn of turns) {
              const id = callIdOf(turn)
              if (!jobs.has(id)) jobs.set(id, { turn: structuredClone(turn), state: 'waiting', until: 0 })
              world.checker.turnArrived(turn)
            }
          })
        },
      }
    },
  }
}

/** Starts an agent-runner as the process; call it inside of it. `keepJobs` breaks the promise that jobs are removed. */
export function startAgentRunner(world: WorkerWorld, queue: AgentQueue, process: Process, keepJobs: boolean): void {
  const redis = connectMemoryRedis(world, process)
  const store = connectMemoryStore(world, process)
  const { weather, dice } = world

  function next(): [string, Job] | undefined {
    const now = world.scheduler.now()
    const found = [...queue.jobs].find(([, job]) => job.state === 'waiting' || (job.state === 'active' && job.until < now))
    if (found) Object.assign(found[1], { state: 'active', until: now + STALLED_MS })
    return found
  }

  /** The turn is paid for: its answer goes into the inbox before anybody is told. */
  async function take(turn: AgentTurn): Promise<void> {
    await pause(dice.between(10, 500))
    if (weather.chance('jobFails') || !(await store.isWanted(turn))) return
    const { runId, path, generation, attempt } = turn
    await store.addToInbox(runId, { kind: 'turn', path, generation, attempt, startedAt: Date.now(), outcome: answerOf(turn) })
    if (weather.chance('wakeLost')) return
    await redis.xadd(keys.facts(partitionOf(runId)), '*', ENTRY_FIELD, JSON.stringify([{ kind: 'inbox', runId }]))
  }

  async function loop(): Promise<void> {
    for (;;) {
      await pause(100)
      const found = next()
      if (!found) continue
      const [id, job] = found
      await take(job.turn).catch(() => {})
      if (keepJobs) job.state = 'kept'
      else if (queue.jobs.get(id) === job) queue.jobs.delete(id)
    }
  }
  void loop()
}
