/** A fanout with many clients is killed while events flow: all of them come to another one at once, each with the last `seq` that it has. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Figures } from '../statistics.ts'
import { untilAllHave, whilePublishing } from './measure-delivery.ts'
import type { Publisher } from './publish-events.ts'
import { type Crowd, startCrowd } from './start-crowd.ts'
import { ADMIN_KEY, type LiveStack } from './start-fanout.ts'

const CONNECTS_AT_ONCE = 100
/** Events before the kill, and how far apart events are: 5 000 clients take some 20 000 messages a second then, a fifth of what a server can send one by one. */
const EVENTS_BEFORE = 8
const PACE_MS = 250
const LOOK_MS = 20
const BACK_MS_MAX = 60_000
const MS_PER_SECOND = 1_000

/** Seconds until all are subscribed again, and until all have everything that was published meanwhile. Rejects when an event was lost or came twice. */
export async function measureStorm(stack: LiveStack, publisher: Publisher, clients: number): Promise<Figures> {
  const [first, second] = [await stack.startReplica(), await stack.startReplica()]
  const crowd = startCrowd()
  const [run] = await publisher.createRuns(1)
  const publish = async () => {
    await publisher.publish(run!, 1)
    await delay(PACE_MS)
  }
  try {
    await crowd.tell({ do: 'open', port: first.port, token: ADMIN_KEY, count: clients, atOnce: CONNECTS_AT_ONCE })
    await crowd.tell({ do: 'return', port: second.port })
    await crowd.tell({ do: 'subscribe', topics: [run!.topic], after: 0, batch: false })
    const killedAt = await whilePublishing(publish, async () => {
      while (run!.seq < EVENTS_BEFORE) await delay(LOOK_MS)
      first.kill()
      const at = performance.now()
      await untilAllReturned(crowd, clients)
      return at
    })
    const backSeconds = (performance.now() - killedAt) / MS_PER_SECOND
    await untilAllHave(crowd, run!.seq)
    const caughtUpSeconds = (performance.now() - killedAt) / MS_PER_SECOND
    const { lost, doubled, refused, returned } = await crowd.tell({ do: 'count' })
    return { clients, events: run!.seq, returned, backSeconds, caughtUpSeconds, lost, doubled, refused }
  } finally {
    await crowd.stop()
  }
}

async function untilAllReturned(crowd: Crowd, clients: number): Promise<void> {
  const deadline = performance.now() + BACK_MS_MAX
  for (;;) {
    const { returned } = await crowd.tell({ do: 'count' })
    if (returned === clients) return
    if (performance.now() > deadline) throw new Error(`only ${returned} of ${clients} clients came back within ${BACK_MS_MAX} ms`)
    await delay(LOOK_MS)
  }
}
