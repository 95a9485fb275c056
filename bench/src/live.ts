/**
 * `make bench-live`: fanout with many clients, beside a plain `ws` server in interleaved rounds; idle clients; clients that all come back
 * at once. Prints the figures, `--write` also puts them into bench/README.md; exits 1 when a bound is broken.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { stackPaths } from '@baton/embedded'
import { type DeliverySizes, fanoutSubject, measureDelivery, type Subject, startPlainServer } from './live/measure-delivery.ts'
import { measureIdle } from './live/measure-idle.ts'
import { measureStorm } from './live/measure-storm.ts'
import { openPublisher, type Publisher } from './live/publish-events.ts'
import { type LiveStack, startLiveStack } from './live/start-fanout.ts'
import { type LiveFigures, liveReport } from './live-report.ts'
import { type LiveOptions, parseLiveOptions } from './options.ts'
import { writeFigures } from './report.ts'
import { onInterrupt, runCommand } from './run-command.ts'
import { type Figures, mediansOf } from './statistics.ts'

const FOLDER = join(stackPaths().local, 'bench', 'live')
const CLIENTS = { delivery: 1_000, idle: 10_000, storm: 5_000 } as const
const DELIVERY = { warmUpMs: 1_000, measureMs: 3_000 } as const
const IDLE = { runs: 100, heartbeatMs: 5_000 } as const
/** No time is scaled below this. */
const MS_MIN = 100
/** What a process opens beside its sockets. */
const FILES_BESIDE = 100

async function measureRounds(
  stack: LiveStack,
  publisher: Publisher,
  sizes: DeliverySizes,
  rounds: number,
): Promise<LiveFigures['delivery']> {
  const plain = await startPlainServer()
  try {
    const fanout = fanoutSubject(await stack.startReplica(), publisher)
    const subjects: [keyof typeof all, Subject, boolean][] = [
      ['plain', plain, false],
      ['unbatched', fanout, false],
      ['batched', fanout, true],
    ]
    const all = { plain: [] as Figures[], unbatched: [] as Figures[], batched: [] as Figures[] }
    for (let round = 1; round <= rounds; round++) {
      for (const [name, subject, batch] of subjects) {
        const [run] = await publisher.createRuns(1)
        const figures = await measureDelivery(subject, run!, batch, sizes)
        all[name].push(figures)
        say(`round ${round} ${name}`, figures)
      }
    }
    const { plain: ofPlain, unbatched, batched } = all
    return { plain: mediansOf(ofPlain), unbatched: mediansOf(unbatched), batched: mediansOf(batched), rounds, clients: sizes.clients }
  } finally {
    await plain.stop()
  }
}

function say(name: string, figures: Figures): void {
  const text = Object.entries(figures).map(([figure, value]) => `${figure} ${Number(value.toPrecision(4))}`)
  console.error(`${name}: ${text.join(', ')}`)
}

/** Each client is an open file, on both sides. Node takes the hard limit by itself. */
function checkFiles(clients: number): void {
  const limits = readFileSync('/proc/self/limits', 'utf8')
  const allowed = Number(/^Max open files\s+\d+\s+(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY)
  if (allowed >= clients + FILES_BESIDE) return
  throw new Error(
    `${clients} clients need ${clients + FILES_BESIDE} open files and the limit is ${allowed}: raise it (ulimit -Hn), or take --scale`,
  )
}

async function measure({ rounds, parts, scale, write }: LiveOptions): Promise<number> {
  const size = (count: number) => Math.max(1, Math.ceil(count * scale))
  const time = (ms: number) => Math.max(MS_MIN, Math.ceil(ms * Math.min(1, scale)))
  checkFiles(Math.max(...parts.map((part) => size(CLIENTS[part]))))
  const stack = await startLiveStack(FOLDER)
  const watched = onInterrupt(stack.stop)
  const publisher = openPublisher(stack)
  try {
    const figures: LiveFigures = {}
    if (parts.includes('delivery')) {
      const sizes = { clients: size(CLIENTS.delivery), warmUpMs: time(DELIVERY.warmUpMs), measureMs: time(DELIVERY.measureMs) }
      figures.delivery = await measureRounds(stack, publisher, sizes, rounds)
    }
    if (parts.includes('idle')) {
      figures.idle = await measureIdle(stack, publisher, {
        ...{ clients: size(CLIENTS.idle), runs: size(IDLE.runs), heartbeatMs: time(IDLE.heartbeatMs) },
      })
      say('idle', figures.idle)
    }
    if (parts.includes('storm')) {
      figures.storm = await measureStorm(stack, publisher, size(CLIENTS.storm))
      say('storm', figures.storm)
    }
    const { text, met } = liveReport(figures, new Date())
    console.log(text)
    if (write) writeFigures('live', text)
    return met ? 0 : 1
  } finally {
    watched()
    await publisher.close()
    await stack.stop()
  }
}

await runCommand('bench-live', () => measure(parseLiveOptions(process.argv.slice(2))))
