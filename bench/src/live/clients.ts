/** Many WebSocket clients in a process of their own: they do what they are told, count what they get, and tell how much that was. */
import { createCrowd, type Order } from './crowd.ts'

/** Whoever is told may be gone already; then this process ends too. */
const say = (message: object) => void process.send?.(message, () => {})
const crowd = createCrowd((delivered) => say({ delivered }))

process.on('message', async ({ id, order }: { id: number; order: Order }) => {
  try {
    say({ id, answer: await crowd.obey(order) })
  } catch (error) {
    say({ id, error: (error as Error).message })
  }
})
process.once('disconnect', () => process.exit(0))
