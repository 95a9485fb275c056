import { testDatabase } from '@baton/testing'
import { test } from 'tap'
import { connect } from '../src/index.ts'

test('statements one after the other stay on the connection that was used last, also when others are open', async (t) => {
  const { url } = await testDatabase(t)
  const sql = connect(url, { max: 5 })
  t.teardown(() => sql.end({ timeout: 1 }))
  const server = async () => (await sql<{ pid: number }[]>`select pg_backend_pid() as pid`)[0]!.pid
  const all = await Promise.all(
    Array.from({ length: 5 }, async () => (await sql`select pg_backend_pid() as pid, pg_sleep(0.1)`)[0]!['pid']),
  )
  t.equal(new Set(all).size, 5)
  const one = await server()
  for (let i = 0; i < 10; i++) t.equal(await server(), one)
})
