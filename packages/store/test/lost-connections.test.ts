/** Connections that are lost at any moment: every statement is answered, and with its own answer. */
import { once } from 'node:events'
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { startPostgres, until } from '@baton/testing'
import { type Test, test } from 'tap'
import { connect, type Sql, withTransaction } from '../src/index.ts'

const CUT_FOR_MS = 6_000
/** What had not been answered by then never is. */
const ANSWER_MS_MAX = 15_000

/** Between us and the server: it ends connections in the middle, half of them with a reset, and a tenth of them while they are made. */
async function startCutter(t: Test, target: URL) {
  const open = new Set<Socket>()
  const cut = (socket: Socket) => (Math.random() < 0.5 ? socket.resetAndDestroy() : socket.end())
  let calm = false
  const server = createServer((near) => {
    const far = connectTcp(Number(target.port), target.hostname)
    open.add(near)
    for (const socket of [near, far]) socket.on('error', () => {})
    near.on('close', () => open.delete(near))
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
    near.pipe(far)
    let left = !calm && Math.random() < 0.1 ? Math.floor(Math.random() * 12) : Number.POSITIVE_INFINITY
    far.on('data', (chunk) => (left-- > 0 ? near.write(chunk) : cut(near)))
  })
  t.teardown(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = new URL(target)
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    cutSome(share: number) {
      for (const socket of open) if (Math.random() < share) cut(socket)
    },
    calm() {
      calm = true
    },
  }
}

const numberOf = (rows: readonly Record<string, unknown>[]) => rows.map((row) => row['x'])

/** One statement, or some in a transaction; what it gave, and what it should have. */
const KINDS: ((sql: Sql, x: number) => Promise<{ got: unknown; wanted: unknown }>)[] = [
  async (sql, x) => ({ got: numberOf(await sql`select ${x}::int as x, ${'y'.repeat(x % 3_000)}::text as y`), wanted: [x] }),
  async (sql, x) => ({ got: numberOf(await sql.unsafe(`select ${x} as x union all select ${x + 1}`)), wanted: [x, x + 1] }),
  async (sql, x) =>
    withTransaction(sql, async (tx) => {
      const first = await tx`select ${x}::int as x`
      const rest = await Promise.all([tx`select ${x + 1}::int as x`, tx`select ${x + 2}::int as x`])
      return { got: [first, ...rest].flatMap(numberOf), wanted: [x, x + 1, x + 2] }
    }),
]

test('statements and transactions whose connections are lost at any moment are all answered, with their own answer', async (t) => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const cutter = await startCutter(t, new URL(server.url))
  const sql = connect(cutter.url, { max: 4 })
  const wrong: unknown[] = []
  let answered = 0
  let failed = 0
  let over = false
  const ask = async (kind: (typeof KINDS)[number]) => {
    while (!over) {
      await kind(sql, Math.floor(Math.random() * 1e6)).then(
        ({ got, wanted }) => {
          answered += 1
          if (JSON.stringify(got) !== JSON.stringify(wanted)) wrong.push({ got, wanted })
        },
        () => (failed += 1),
      )
      if (Math.random() < 0.05) await sleep(Math.random() * 20)
    }
  }
  const asking = [0, 0, 0, 0, 1, 2, 2, 2].map((kind) => ask(KINDS[kind]!))
  for (const until = Date.now() + CUT_FOR_MS; Date.now() < until; ) {
    await sleep(Math.random() * 200)
    cutter.cutSome(Math.random() < 0.3 ? 1 : 0.3)
  }
  cutter.calm()
  over = true
  const all = await Promise.race([Promise.all(asking).then(() => true), sleep(ANSWER_MS_MAX, false, { ref: false })])
  t.ok(all, 'every statement was answered')
  t.strictSame(wrong, [], 'none got the answer of another, or an empty one')
  t.ok(answered > 100 && failed > 20, `${answered} answered, ${failed} lost with their connection`)
  await until(() => Promise.all(KINDS.map((kind) => kind(sql, 1))).then(() => true), { what: 'the pool to be as before' })
  const ended = await Promise.race([sql.end().then(() => true), sleep(5_000, false, { ref: false })])
  t.ok(ended, 'the pool can be closed without a limit of time')
})

test('a statement that cannot be sent fails alone, not the one before it on its connection', async (t) => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const sql = connect(server.url, { max: 1 })
  t.teardown(() => sql.end({ timeout: 1 }))
  await sql`select 1`
  const asked = [sql`select 1 as x`, sql.unsafe('select $1::int as x', [undefined as never]), sql`select 3 as x`]
  const [before, unbuilt, after] = await Promise.allSettled<readonly Record<string, unknown>[]>(asked)
  t.match(unbuilt, { status: 'rejected', reason: { code: 'UNDEFINED_VALUE' } })
  t.strictSame(
    [before, after].map((answer) => (answer?.status === 'fulfilled' ? numberOf(answer.value) : answer)),
    [[1], [3]],
  )
})
