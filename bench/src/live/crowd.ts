/** A crowd of WebSocket clients, each with at most one subscription. */
import type { ServerFrame } from '@baton/contracts'
import { type Followed, type KnownFrames, startFollowing, takeFrame } from './follow-seqs.ts'
import { type Connection, openConnection } from './websocket-stream.ts'

/** What a crowd can be told. Client i takes the topic i modulo their number, and follows from `after`. */
export type Order =
  | { do: 'open'; port: number; token: string; count: number; atOnce: number }
  | { do: 'subscribe'; topics: string[]; after: number; batch: boolean }
  | { do: 'unsubscribe' }
  /** Asks everybody for a pong. */
  | { do: 'ping' }
  /** Whoever is cut off connects to this port at once, and goes on where it was; undefined: stays away. */
  | { do: 'return'; port: number | undefined }
  | { do: 'count' }
  | { do: 'close' }

/** What became of all clients since they subscribed. `least` is the seq that the slowest has got, `longestMs` how long the slowest pong took. */
export interface Count {
  open: number
  delivered: number
  lost: number
  doubled: number
  least: number
  returned: number
  refused: number
  closes: Record<string, number>
  longestMs: number
}

interface Client {
  index: number
  connection: Connection | undefined
  isOpen: boolean
  topic: string
  followed: Followed
  known: KnownFrames
  /** Called with the next answer that is no event. */
  answered: ((frame: ServerFrame) => void) | undefined
}

/** Clients are spread over so many addresses of this machine: each has some 28 000 ports of its own to connect from. */
const ADDRESSES = 8
const TELL_MS = 2
const RETRY_MS = 100

/** Makes an empty crowd; `tell` is called with how many events all have got together, at most each 2 ms. */
export function createCrowd(tell: (delivered: number) => void): { obey(order: Order): Promise<Count> } {
  const clients: Client[] = []
  const frames = new Map<string, KnownFrames>()
  const counts = { returned: 0, refused: 0, longestMs: 0, closes: {} as Record<string, number> }
  let place = { port: 0, token: '' }
  let returnTo: number | undefined
  let batch = false
  let closing = false
  let telling = false

  function tellSoon(): void {
    if (telling) return
    telling = true
    setTimeout(() => {
      telling = false
      tell(clients.reduce((sum, { followed }) => sum + followed.delivered, 0))
    }, TELL_MS)
  }

  function connect(client: Client, port: number): Promise<void> {
    return new Promise((resolve) => {
      client.connection = openConnection(
        { port, token: place.token, from: `127.0.0.${1 + (client.index % ADDRESSES)}` },
        {
          onOpen() {
            client.isOpen = true
            resolve()
          },
          onText(payload) {
            const frame = takeFrame(client.followed, client.known, payload)
            if (frame === undefined) return tellSoon()
            client.answered?.(frame)
          },
          onClosed(code) {
            const wasOpen = client.isOpen
            client.isOpen = false
            client.connection = undefined
            if (!wasOpen) counts.refused++
            else if (!closing) onCut(client, code)
            resolve()
          },
        },
      )
    })
  }

  function onCut(client: Client, code: number): void {
    counts.closes[code] = (counts.closes[code] ?? 0) + 1
    if (returnTo !== undefined) void comeBack(client, returnTo)
  }

  /** As a client of the SDK does: connect again, and again if need be, and subscribe with the last seq. */
  async function comeBack(client: Client, port: number): Promise<void> {
    for (;;) {
      await connect(client, port)
      if (client.isOpen) break
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
    }
    const answer = await ask(client, subscription(client))
    if (answer.type !== 'subscribed') throw new Error(`a client that came back was answered ${JSON.stringify(answer)}`)
    counts.returned++
  }

  function subscription(client: Client): object {
    return { type: 'subscribe', topic: client.topic, after: client.followed.next - 1, batch }
  }

  function ask(client: Client, frame: object): Promise<ServerFrame> {
    return new Promise((resolve) => {
      client.answered = resolve
      client.connection?.sendText(JSON.stringify(frame))
    })
  }

  async function askAll(frameFor: (client: Client) => object, wanted: ServerFrame['type']): Promise<void> {
    const startedAt = performance.now()
    const answers = clients.map(async (client) => {
      const answer = await ask(client, frameFor(client))
      counts.longestMs = Math.max(counts.longestMs, performance.now() - startedAt)
      if (answer.type !== wanted) throw new Error(`a client was answered ${JSON.stringify(answer)} instead of "${wanted}"`)
    })
    await Promise.all(answers)
  }

  async function open(count: number, atOnce: number): Promise<void> {
    const from = clients.length
    for (let index = from; index < from + count; index++) {
      const client: Client = {
        ...{ index, connection: undefined, isOpen: false, topic: '', answered: undefined },
        ...{ followed: startFollowing(0), known: new Map() },
      }
      clients.push(client)
    }
    let next = from
    const opener = async () => {
      while (next < clients.length) await connect(clients[next++]!, place.port)
    }
    await Promise.all(Array.from({ length: atOnce }, opener))
    const missing = clients.filter(({ isOpen }) => !isOpen).length
    if (missing > 0) throw new Error(`${missing} of ${clients.length} clients could not connect`)
  }

  async function subscribe(topics: string[], after: number): Promise<void> {
    frames.clear()
    for (const client of clients) {
      client.topic = topics[client.index % topics.length]!
      client.followed = startFollowing(after)
      client.known = frames.get(client.topic) ?? new Map()
      frames.set(client.topic, client.known)
    }
    await askAll(subscription, 'subscribed')
  }

  function count(): Count {
    const sum = (of: (followed: Followed) => number) => clients.reduce((total, { followed }) => total + of(followed), 0)
    return {
      ...counts,
      open: clients.filter(({ isOpen }) => isOpen).length,
      delivered: sum(({ delivered }) => delivered),
      lost: sum(({ lost }) => lost),
      doubled: sum(({ doubled }) => doubled),
      least: clients.reduce((least, { followed }) => Math.min(least, followed.next - 1), Number.POSITIVE_INFINITY),
    }
  }

  async function follow(order: Order): Promise<void> {
    counts.longestMs = 0
    if (order.do === 'open') {
      place = order
      closing = false
      await open(order.count, order.atOnce)
    } else if (order.do === 'subscribe') {
      batch = order.batch
      await subscribe(order.topics, order.after)
    } else if (order.do === 'unsubscribe') {
      await askAll(({ topic }) => ({ type: 'unsubscribe', topic }), 'unsubscribed')
    } else if (order.do === 'ping') {
      await askAll(() => ({ type: 'ping' }), 'pong')
    } else if (order.do === 'return') {
      returnTo = order.port
    } else if (order.do === 'close') {
      closing = true
      for (const { connection } of clients.splice(0)) connection?.end()
    }
  }

  return {
    async obey(order) {
      await follow(order)
      return count()
    },
  }
}
