/** Why Redis cannot be used is said where people look: in /ready and in the log. */
import { Writable } from 'node:stream'
import { findFreePort, hasRedisServer, tlsRedis, until } from '@baton/testing'
import t, { type Test } from 'tap'
import { checkRedis, connectRedis, createLogger, createService } from '../src/index.ts'
import { tellTrouble } from '../src/redis-trouble.ts'

const skip = hasRedisServer() ? false : 'no redis-server on this machine'

t.test('over TLS', { skip }, async (t) => {
  const redis = await tlsRedis(t)
  const { address, password, ca, otherCa } = redis
  const right = `rediss://:${password}@${address}?ca=${ca}`

  async function look(t: Test, url: string) {
    const lines: { msg: string; reason?: string }[] = []
    const destination = new Writable({
      write(chunk, _encoding, done) {
        lines.push(JSON.parse(String(chunk)))
        done()
      },
    })
    const log = createLogger({ name: 'test' }, destination)
    const connection = connectRedis(url, { name: 'test', whileAway: 'fail' })
    tellTrouble(connection, log)
    const app = createService({ name: 'test', logger: createLogger({ name: 'test', level: 'silent' }), checks: [checkRedis(connection)] })
    t.teardown(async () => {
      connection.disconnect()
      await app.close()
    })
    const ready = async () => {
      const { statusCode, body } = await app.inject('/ready')
      return { statusCode, body }
    }
    return { lines, ready }
  }

  await t.test('the right CA and password make it ready', async (t) => {
    const { ready } = await look(t, right)
    await until(async () => (await ready()).statusCode === 200, { what: 'readiness' })
  })

  const wrong: [what: string, url: string, says: RegExp][] = [
    ['another CA', right.replace(ca, otherCa), /certificate.*\?ca=/s],
    ['no CA', `rediss://:${password}@${address}`, /certificate.*\?ca=/s],
    ['a wrong password', right.replace(password, 'guessed'), /WRONGPASS.*correct the user and password/s],
    ['no password', `rediss://${address}?ca=${ca}`, /NOAUTH.*correct the user and password/s],
    ['another name', `${right}&servername=redis.example`, /servername/],
  ]
  for (const [what, url, says] of wrong) {
    await t.test(`${what} is told by /ready and once by the log`, async (t) => {
      const { lines, ready } = await look(t, url)
      await until(async () => says.test((await ready()).body), { what: `/ready to say ${says}` })
      t.equal((await ready()).statusCode, 503)
      const told = lines.filter(({ msg }) => msg === 'redis cannot be used')
      t.match(told.at(-1)?.reason, says)
      t.equal(new Set(told.map(({ reason }) => reason)).size, told.length, 'each reason once')
      t.notMatch(JSON.stringify(lines), password, 'without the password')
    })
  }

  await t.test('a server that is not there', async (t) => {
    const { ready } = await look(t, `redis://127.0.0.1:${await findFreePort()}`)
    await until(async () => (await ready()).body.includes('ECONNREFUSED'), { what: '/ready to say that the connection is refused' })
  })
})
