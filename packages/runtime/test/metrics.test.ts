import { setTimeout } from 'node:timers/promises'
import { Gauge, register } from 'prom-client'
import { test } from 'tap'
import { askedGauges, createLogger, createService, gauge, type Levels, metricsText } from '../src/index.ts'

/** The lines of one metric, without help and type. */
async function linesOf(name: string): Promise<string[]> {
  const { text } = await metricsText()
  return text.split('\n').filter((line) => line.startsWith(name))
}

test('gauges of one question are asked once a scrape, and show what was answered', async (t) => {
  let asked = 0
  askedGauges({ baton_test_a: { help: 'a' }, baton_test_b: { help: 'b', labelNames: ['kind'] } }, async () => {
    asked += 1
    return { baton_test_a: 7, baton_test_b: [{ labels: { kind: 'x' }, value: 1 }] }
  })
  t.equal(asked, 0, 'nothing is asked before somebody scrapes')
  t.same(await linesOf('baton_test_'), ['baton_test_a 7', 'baton_test_b{kind="x"} 1'])
  t.equal(asked, 1)
})

test('a label that is answered no more is shown no more', async (t) => {
  let levels: Levels = [{ labels: { kind: 'x' }, value: 1 }]
  askedGauges({ baton_test_c: { help: 'c', labelNames: ['kind'] } }, async () => ({ baton_test_c: levels }), { keepMs: 0 })
  t.same(await linesOf('baton_test_c'), ['baton_test_c{kind="x"} 1'])
  levels = [{ labels: { kind: 'y' }, value: 2 }]
  t.same(await linesOf('baton_test_c'), ['baton_test_c{kind="y"} 2'])
})

test('what cannot be answered is absent, and the rest is told', async (t) => {
  let fails = true
  askedGauges({ baton_test_d: { help: 'd' } }, async () => (fails ? Promise.reject(new Error('away')) : { baton_test_d: 3 }), { keepMs: 0 })
  new Gauge({ name: 'baton_test_e', help: 'e' }).set(5)
  t.same(await linesOf('baton_test_d'), [], 'nothing is known')
  t.same(await linesOf('baton_test_e'), ['baton_test_e 5'])
  fails = false
  t.same(await linesOf('baton_test_d'), ['baton_test_d 3'], 'it is back')
})

test('a question that nobody answers holds no scrape up, and is not asked again meanwhile', async (t) => {
  let asked = 0
  const answer = Promise.withResolvers<{ baton_test_f: Levels }>()
  const ask = () => {
    asked += 1
    return answer.promise
  }
  askedGauges({ baton_test_f: { help: 'f' } }, ask, { timeoutMs: 20 })
  t.same(await linesOf('baton_test_f'), [])
  t.same(await linesOf('baton_test_f'), [])
  t.equal(asked, 1)
  answer.resolve({ baton_test_f: 9 })
  t.same(await linesOf('baton_test_f'), ['baton_test_f 9'], 'an answer that came late is shown to the next one')
})

test('a service tells who it is, of its process, and whether what it needs is there', async (t) => {
  register.clear()
  const logger = createLogger({ name: 'test', level: 'silent' })
  const checks = [
    { name: 'good', check: async () => {} },
    { name: 'bad', check: () => Promise.reject(new Error('away')) },
  ]
  const app = createService({ name: 'test', logger, checks })
  t.teardown(() => app.close())
  gauge('baton_test_g', 'g', () => 4)
  const { statusCode, body } = await app.inject('/metrics')
  t.equal(statusCode, 200)
  t.match(body, /^baton_build_info\{service="test",version=".+"\} 1$/m)
  t.match(body, /^baton_dependency_up\{dependency="good"\} 1$/m)
  t.match(body, /^baton_dependency_up\{dependency="bad"\} 0$/m)
  t.match(body, /^baton_dependency_answer_seconds\{dependency="good"\} /m)
  t.match(body, /^baton_test_g 4$/m)
  for (const name of [
    'process_cpu_seconds_total',
    'process_resident_memory_bytes',
    'nodejs_eventloop_lag_p99_seconds',
    'nodejs_heap_size_used_bytes',
  ])
    t.match(body, new RegExp(`^${name} `, 'm'), name)

  const lag = async (kind: string) => {
    const { body } = await app.inject('/metrics')
    return Number(new RegExp(`^nodejs_eventloop_lag_${kind}_seconds (.+)$`, 'm').exec(body)?.[1])
  }
  await setTimeout(300)
  const atRest = await lag('p50')
  t.ok(atRest >= 0 && atRest < 0.1, `a turn of the event loop at rest takes ${atRest} s`)
  await lag('max')
  for (const until = performance.now() + 300; performance.now() < until; );
  await setTimeout(10)
  const held = await lag('max')
  t.ok(held >= 0.25 && held < 5, `one in which somebody held it for 300 ms took ${held} s`)
})
