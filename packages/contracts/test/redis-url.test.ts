/** REDIS_URL of one server, of sentinels and of clusters; what is wrong is named with its remedy. */
import t from 'tap'
import { parseRedisUrl, RedisUrlError, redisUrlForLog } from '../src/index.ts'

t.test('each form says where Redis is', async (t) => {
  t.same(parseRedisUrl('redis://h'), { kind: 'single', hosts: [{ host: 'h', port: 6379 }], db: 0 })
  t.same(parseRedisUrl('redis://me:p%40ss@h:1/3?family=6'), {
    kind: 'single',
    hosts: [{ host: 'h', port: 1 }],
    db: 3,
    username: 'me',
    password: 'p@ss',
    family: 6,
  })
  t.same(parseRedisUrl('rediss://:x@[::1]:7?ca=/a&cert=/b&key=/c&servername=s'), {
    kind: 'single',
    hosts: [{ host: '::1', port: 7 }],
    db: 0,
    password: 'x',
    tls: { ca: '/a', cert: '/b', key: '/c', servername: 's' },
  })
  t.same(parseRedisUrl('redis+sentinel://:x@a:1,b/main/2?sentinelPassword=y'), {
    kind: 'sentinel',
    hosts: [
      { host: 'a', port: 1 },
      { host: 'b', port: 26_379 },
    ],
    db: 2,
    master: 'main',
    password: 'x',
    sentinelLogin: { password: 'y' },
  })
  t.same(parseRedisUrl('rediss+cluster://a,b:2'), {
    kind: 'cluster',
    hosts: [
      { host: 'a', port: 6379 },
      { host: 'b', port: 2 },
    ],
    db: 0,
    tls: {},
  })
})

const WRONG: [text: string, says: RegExp][] = [
  ['http://h', /one of redis:\/\//],
  ['h:6379', /one of redis:\/\//],
  ['redis://', /host or host:port/],
  ['redis://h:99999', /host or host:port in place of "h:99999"/],
  ['redis://a,b', /redis\+cluster:\/\/ or redis\+sentinel:\/\//],
  ['redis://h/x', /number of a database in place of "x"/],
  ['redis+sentinel://a:1', /name of the master/],
  ['redis+cluster://a/1', /only database 0/],
  ['redis://h?ca=/a', /rediss in place of redis/],
  ['rediss://h?cert=/a', /both "cert" and "key"/],
  ['redis://h?tls=1', /it has "tls"/],
  ['redis://h?sentinelPassword=x', /redis\+sentinel/],
  ['redis://:%zz@h', /%25/],
]
for (const [text, says] of WRONG) {
  t.test(`${text} is refused with the place and the remedy`, async (t) => {
    t.throws(() => parseRedisUrl(text), { name: 'RedisUrlError', message: says })
  })
}

t.test('what is shown has no password', async (t) => {
  t.equal(redisUrlForLog('rediss+sentinel://me:secret@a:1,[::1]:2/main?ca=/x'), 'rediss+sentinel://a:1,[::1]:2/main')
  t.equal(redisUrlForLog('redis://:secret@h:1'), 'redis://h:1')
  t.equal(redisUrlForLog('nonsense:secret@'), 'REDIS_URL')
  try {
    parseRedisUrl('redis://:secret@h/x')
    t.fail('it is refused')
  } catch (error) {
    t.type(error, RedisUrlError)
    t.notMatch((error as Error).message, 'secret')
  }
})
