import tap, { test } from 'tap'
import { type KnownFrames, startFollowing, takeFrame } from '../src/live/follow-seqs.ts'
import { readFrames } from '../src/live/websocket-stream.ts'
import { liveReport } from '../src/live-report.ts'
import { BadArguments, parseLiveOptions } from '../src/options.ts'
import { linuxOnly, rootFor, run, STACK_MS } from './bench-command.ts'

tap.setTimeout(STACK_MS)
const DAY = new Date('2026-11-28T00:00:00Z')

const eventFrame = (seq: number) => Buffer.from(JSON.stringify({ type: 'event', topic: 'run:x', seq, event: { seq } }))
const batchFrame = (...seqs: number[]) =>
  Buffer.from(JSON.stringify({ type: 'events', topic: 'run:x', events: seqs.map((seq) => ({ seq })) }))

test('each client is judged by itself: what is lost, doubled or delivered in batches is counted, parsed or compared', (t) => {
  const known: KnownFrames = new Map()
  const take = (...payloads: Buffer[]) => {
    const followed = startFollowing(0)
    for (const payload of payloads) t.equal(takeFrame(followed, known, payload), undefined)
    return followed
  }
  const whole = { next: 5, delivered: 4, lost: 0, doubled: 0 }
  t.same(take(eventFrame(1), batchFrame(2, 3, 4)), whole)
  t.same(take(eventFrame(1), batchFrame(2, 3, 4)), whole, 'the same bytes again, for another client')
  t.same(take(eventFrame(1), eventFrame(2), eventFrame(3), eventFrame(4)), whole, 'other frames with the same events')
  t.same(take(eventFrame(1), eventFrame(4)), { next: 5, delivered: 2, lost: 2, doubled: 0 })
  t.same(take(eventFrame(1), eventFrame(1), batchFrame(2, 2)), { next: 3, delivered: 4, lost: 0, doubled: 2 })
  t.same(takeFrame(startFollowing(0), known, Buffer.from('{"type":"pong"}')), { type: 'pong' })
  t.end()
})

test('frames are read whole, whatever pieces they come in', (t) => {
  const sizes = [0, 5, 125, 126, 70_000]
  const head = (size: number) => {
    if (size < 126) return Buffer.from([0x81, size])
    const long = size > 0xffff
    const bytes = Buffer.alloc(long ? 10 : 4)
    bytes[0] = 0x81
    bytes[1] = long ? 127 : 126
    if (long) bytes.writeUIntBE(size, 4, 6)
    else bytes.writeUInt16BE(size, 2)
    return bytes
  }
  const stream = Buffer.concat(sizes.flatMap((size) => [head(size), Buffer.alloc(size, 0x61)]))
  for (const piece of [1, 7, 4_096, stream.length]) {
    const seen: number[] = []
    let rest: Buffer = Buffer.alloc(0)
    for (let at = 0; at < stream.length; at += piece) {
      const bytes = Buffer.concat([rest, stream.subarray(at, at + piece)])
      rest = bytes.subarray(readFrames(bytes, (opcode, payload) => seen.push(opcode === 1 ? payload.length : -1)))
    }
    t.same(seen, sizes, `pieces of ${piece}`)
  }
  t.end()
})

test('the report has the ratios to plain ws, and says which bound is broken', (t) => {
  const delivery = {
    ...{ plain: { perSecond: 100_000 }, unbatched: { perSecond: 70_000 }, batched: { perSecond: 290_000 } },
    ...{ rounds: 3, clients: 1_000 },
  }
  const broken = liveReport({ delivery }, DAY)
  t.match(broken.text, 'Of what plain `ws` delivers: 0.700 × (bound 0.6 ×, met); with batch 2.90 × (bound 3 ×, **broken**).')
  t.equal(broken.met, false)
  const { text, met } = liveReport({ delivery: { ...delivery, batched: { perSecond: 300_000 } }, idle: { bytesPerClient: 20_480 } }, DAY)
  t.equal(met, true)
  t.match(text, '20.0')
  t.notMatch(text, 'come back')
  t.end()
})

test('arguments of bench-live', (t) => {
  t.same(parseLiveOptions([]), { rounds: 3, parts: ['delivery', 'idle', 'storm'], scale: 1, write: false })
  t.match(parseLiveOptions(['--parts', 'storm', '--scale', '0.5', '--write']), { parts: ['storm'], scale: 0.5, write: true })
  try {
    parseLiveOptions(['--parts', 'sse', '--rounds', '0'])
    t.fail('wrong arguments were taken')
  } catch (error) {
    t.ok(error instanceof BadArguments)
    t.match((error as Error).message, /--rounds must be .*; --parts: there is no sse; there are delivery/)
  }
  t.end()
})

test('a small measurement of live events: all parts, nothing lost or doubled', linuxOnly, async (t) => {
  t.setTimeout(STACK_MS)
  const { out, said } = await run(t, 'live', ['--rounds', '1', '--scale', '0.02'], rootFor(t))
  t.match(out, /\| plain `ws` \| \d/, said)
  t.match(out, /\| \*\*fanout\*\*, `"batch": true` \| \d/)
  t.match(out, /\| 200 \| [\d.]+ \|/, 'idle clients')
  t.match(out, /\| 100 \| [\d.]+ \| [\d.]+ \| 0 \| 0 \|/, 'a storm')
})
