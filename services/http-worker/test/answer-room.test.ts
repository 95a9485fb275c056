/** The bytes of answers that are under way have a bound, all calls together; who finds no room waits and does not fail. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { type Teardown, until } from '@baton/testing'
import t from 'tap'
import { type AnswerRoom, createAnswerRoom, UNCOUNTED_BYTES } from '../src/answer-room.ts'
import { caller, callOf } from './calls.ts'

const MIB = 2 ** 20
const ANSWER = JSON.stringify(Array.from({ length: 30_000 }, (_, n) => ({ order: n, total: n * 3 })))
const GZIPPED = gzipSync(ANSWER)

/** Sends ANSWER in the way that the path names; `/held/…` keeps its last byte until `release`. */
async function startServer(t: Teardown) {
  const held: (() => void)[] = []
  const server = createServer((request, response) => {
    const [, how] = request.url!.split('/')
    response.setHeader('content-type', 'application/json')
    if (how === 'small') return response.end('{"small":true}')
    if (how === 'gzip') return response.setHeader('content-encoding', 'gzip').end(GZIPPED)
    if (how !== 'chunked') response.setHeader('content-length', ANSWER.length)
    response.write(ANSWER.slice(0, -1))
    if (how === 'held') held.push(() => response.end(ANSWER.slice(-1)))
    else response.end(ANSWER.slice(-1))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, held }
}

/** The room, and the most that was ever taken of it. */
function watched(room: AnswerRoom) {
  let most = 0
  const note = () => {
    most = Math.max(most, room.taken())
  }
  const open = () => {
    const { grow, close } = room.open()
    return {
      close,
      grow(to: number) {
        const given = grow(to)
        note()
        return given?.then(note)
      },
    }
  }
  return { open, most: () => most }
}

t.test('twelve large answers at once, however they are sent, never take more than the room and one of them, and all succeed', async (t) => {
  const { url } = await startServer(t)
  for (const how of ['length', 'chunked', 'gzip']) {
    const max = 2 * MIB
    const room = createAnswerRoom(max)
    const seen = watched(room)
    const { make } = caller(t, {}, { responseBytesMax: 4 * MIB, outputBytesMax: 4 * MIB }, seen)
    const outcomes = await Promise.all(Array.from({ length: 12 }, () => make(callOf({ url: `${url}/${how}` }))))
    t.equal(
      outcomes.filter(({ status }) => status === 'succeeded').length,
      12,
      `${how}: ${JSON.stringify(outcomes.find(({ status }) => status === 'failed'))}`,
    )
    t.ok(seen.most() >= ANSWER.length && seen.most() <= max + 4 * MIB, `${how}: ${seen.most()} bytes at most`)
    t.strictSame([room.taken(), room.waiting()], [0, 0], 'all is given back')
  }
})

t.test('while there is no room large answers wait and small ones pass', async (t) => {
  const { url, held } = await startServer(t)
  const room = createAnswerRoom(ANSWER.length + UNCOUNTED_BYTES)
  const { make } = caller(t, {}, {}, room)
  const first = make(callOf({ url: `${url}/held` }))
  await until(() => room.taken() === ANSWER.length)
  const second = make(callOf({ url: `${url}/length` }))
  await until(() => room.waiting() === 1)
  t.match(await make(callOf({ url: `${url}/small` })), { status: 'succeeded', output: { body: { small: true } } })
  t.equal(room.waiting(), 1, 'it waits still')
  held[0]!()
  t.match(await Promise.all([first, second]), [{ status: 'succeeded' }, { status: 'succeeded' }])
})

t.test('a call whose time is over while it waits for room takes none, and gives its place up', async (t) => {
  const { url, held } = await startServer(t)
  const room = createAnswerRoom(ANSWER.length)
  const { make } = caller(t, {}, {}, room)
  const first = make(callOf({ url: `${url}/held` }))
  await until(() => room.taken() === ANSWER.length)
  t.match(await make(callOf({ url: `${url}/length` }, { timeoutMs: 200 })), { error: { code: 'BTN_TIMEOUT' }, retryable: true })
  t.strictSame([room.taken(), room.waiting()], [ANSWER.length, 0])
  held[0]!()
  t.match(await first, { status: 'succeeded' })
  t.equal(room.taken(), 0)
})

t.test('who has given everything back takes no more', (t) => {
  const room = createAnswerRoom(4 * MIB)
  const share = room.open()
  share.grow(MIB)
  share.close()
  t.ok(share.grow(2 * MIB), 'it may not go on')
  t.strictSame([room.taken(), room.waiting()], [0, 0])
  t.end()
})

t.test('when all who hold room wait for more, one of them alone goes beyond it, to its end', async (t) => {
  const room = createAnswerRoom(4 * MIB)
  const [a, b, c] = [room.open(), room.open(), room.open()]
  t.equal(a.grow(2 * MIB), undefined)
  t.equal(b.grow(2 * MIB), undefined)
  const order: string[] = []
  const waits = (name: string, wait: Promise<void> | undefined) => {
    t.ok(wait, `${name} waits`)
    void wait!.then(() => order.push(name))
  }
  waits('a', a.grow(3 * MIB))
  waits('c', c.grow(MIB))
  t.equal(room.taken(), 4 * MIB)
  waits('b', b.grow(3 * MIB))
  await until(() => order.length > 0)
  t.equal(a.grow(10 * MIB), undefined, 'who is beyond goes on')
  t.strictSame([order, room.taken(), room.waiting()], [['a'], 12 * MIB, 2], 'and nobody else does')
  a.close()
  await until(() => order.length === 3)
  t.strictSame(order, ['a', 'c', 'b'], 'in the order of asking')
  b.close()
  c.close()
  t.equal(room.taken(), 0)
})

t.test('an answer larger than all of the room comes through alone', async (t) => {
  const room = createAnswerRoom(1)
  const [one, other] = [room.open(), room.open()]
  t.equal(one.grow(10 * MIB), undefined)
  const waiting = other.grow(10 * MIB)
  t.ok(waiting)
  one.close()
  await waiting
  t.equal(room.taken(), 10 * MIB)
})
