/** The measuring process' side of a crowd of clients. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Count, Order } from './crowd.ts'

/** Clients in a process of their own. */
export interface Crowd {
  pid: number
  /** Resolves when all have done so; rejects with what went wrong. */
  tell(order: Order, timeoutMs?: number): Promise<Count>
  /** Events that all have got together, as it was told last. */
  delivered(): number
  /** Resolves when more was told. */
  more(): Promise<void>
  stop(): Promise<void>
}

type Message = { delivered: number } | { id: number; answer: Count } | { id: number; error: string }

const ANSWER_MS = 60_000

/** Starts a crowd that ends with this process. */
export function startCrowd(): Crowd {
  const child = fork(join(import.meta.dirname, 'clients.ts'), { execArgv: ['--conditions=@baton/source', '--no-warnings'] })
  const waiting = new Map<number, (message: Message) => void>()
  let nextId = 0
  let delivered = 0
  let more = Promise.withResolvers<void>()
  child.on('message', (message: Message) => {
    if ('id' in message) return waiting.get(message.id)?.(message)
    delivered = message.delivered
    more.resolve()
    more = Promise.withResolvers()
  })
  const gone = once(child, 'exit')
  return {
    pid: child.pid!,
    async tell(order, timeoutMs = ANSWER_MS) {
      if (order.do === 'subscribe') delivered = 0
      const id = nextId++
      const timer = Promise.withResolvers<never>()
      const timeout = setTimeout(() => timer.reject(new Error(`the clients did not ${order.do} within ${timeoutMs} ms`)), timeoutMs)
      const message = new Promise<Message>((resolve) => waiting.set(id, resolve))
      child.send({ id, order })
      const answer = await Promise.race([message, timer.promise]).finally(() => {
        clearTimeout(timeout)
        waiting.delete(id)
      })
      if ('error' in answer) throw new Error(answer.error)
      if (!('answer' in answer)) throw new Error('the clients gave no answer')
      return answer.answer
    },
    delivered: () => delivered,
    more: () => more.promise,
    async stop() {
      if (child.connected) child.disconnect()
      await gone
    },
  }
}
