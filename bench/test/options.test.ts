import { test } from 'tap'
import {
  BadArguments,
  parseCompareOptions,
  parseGrowthOptions,
  parseScaleOptions,
  parseSoakOptions,
  parseStackOptions,
} from '../src/options.ts'

test('without arguments everything is measured against all peers', (t) => {
  const options = parseCompareOptions([])
  t.same(options, {
    peers: ['restate', 'bullmq', 'dbos', 'openworkflow'],
    rounds: 3,
    workloads: ['w1', 'w2', 'w3', 'w4'],
    scale: 1,
    growth: [1_000, 10_000],
    keep: false,
    write: false,
  })
  t.same(parseSoakOptions([]), { seconds: 600, idleSeconds: 180, saturateSeconds: 10, write: false })
  const growth = { runs: 1_000_000, rounds: 5, probe: 1_000, reads: 100, fill: false, keep: false, write: false }
  t.same(parseGrowthOptions([]), growth)
  t.same(parseScaleOptions([]), { replicas: 2, rounds: 12, runs: 2_000, warmUp: 10_000, write: false })
  t.same(parseStackOptions(['--quick']), { quick: true, write: false })
  t.end()
})

test('peers and workloads are chosen by name, in the order of the tables', (t) => {
  const options = parseCompareOptions([
    '--peers',
    'dbos,restate,dbos',
    '--workloads',
    'growth,w1',
    '--rounds',
    '1',
    '--scale',
    '0.5',
    '--write',
  ])
  t.match(options, { peers: ['restate', 'dbos'], workloads: ['w1', 'growth'], rounds: 1, scale: 0.5, write: true })
  t.same(parseCompareOptions(['--peers', 'none']).peers, [])
  t.same(parseCompareOptions(['--growth', '1000000,1000']).growth, [1_000, 1_000_000])
  t.end()
})

test('everything wrong is said at once, with what there is', (t) => {
  const wrong = () => parseCompareOptions(['--peers', 'temporal', '--rounds', '1.5', '--scale', '', '--workloads', 'w9'])
  t.ok(thrownBy(wrong) instanceof BadArguments)
  t.throws(wrong, { message: /there is no temporal; there are restate, bullmq/ })
  t.throws(wrong, { message: /--rounds must be a whole number from 0 to 100, and is "1.5"/ })
  t.throws(wrong, { message: /--scale must be a number/ })
  t.throws(wrong, { message: /there is no w9; there are w1/ })
  t.throws(() => parseCompareOptions(['--growth', '10,x']), { message: /--growth must be a whole number/ })
  t.throws(() => parseCompareOptions(['--peer', 'dbos']), { message: /Unknown option '--peer'; there are --peers, --rounds/ })
  t.ok(thrownBy(() => parseCompareOptions(['restate'])) instanceof BadArguments)
  t.throws(() => parseCompareOptions(['--rounds', '0']), { message: /measures nothing/ })
  t.throws(() => parseGrowthOptions(['--runs', '1e9', '--rounds', '0']), { message: /--runs must be .*"1e9"; --rounds must be/ })
  t.throws(() => parseGrowthOptions(['--fill', '--write']), { message: /--fill measures nothing/ })
  t.throws(() => parseScaleOptions(['--replicas', '1']), { message: /--replicas must be a whole number from 2 to 64/ })
  t.throws(() => parseScaleOptions(['--warm-up', 'some']), { message: /--warm-up must be a whole number from 0 to/ })
  t.throws(() => parseSoakOptions(['--seconds', 'ten']), { message: /--seconds must be a number from 1/ })
  t.end()
})

function thrownBy(action: () => unknown): unknown {
  try {
    action()
  } catch (error) {
    return error
  }
}
