/** Live events in Markdown, judged by their bounds. */
import { shown, table, takenOn } from './report.ts'
import type { Figures } from './statistics.ts'

const KIB = 1_024
/** Of what plain `ws` delivers in the same rounds. */
const BOUNDS = { unbatched: 0.6, batched: 3 } as const

/** Medians by what was measured; a part that was left out is undefined. */
export interface LiveFigures {
  delivery?: { plain: Figures; unbatched: Figures; batched: Figures; rounds: number; clients: number } | undefined
  idle?: Figures | undefined
  storm?: Figures | undefined
}

/** The tables, and whether all bounds are met. */
export function liveReport(figures: LiveFigures, today: Date): { text: string; met: boolean } {
  const { delivery, idle, storm } = figures
  const ratios = delivery && {
    unbatched: (delivery.unbatched.perSecond ?? Number.NaN) / (delivery.plain.perSecond ?? Number.NaN),
    batched: (delivery.batched.perSecond ?? Number.NaN) / (delivery.plain.perSecond ?? Number.NaN),
  }
  const parts = [
    takenOn(today),
    ...(delivery ? [deliveryTable(delivery)] : []),
    ...(ratios ? [verdict(ratios)] : []),
    ...(idle ? [idleTable(idle)] : []),
    ...(storm ? [stormTable(storm)] : []),
  ]
  const met = ratios === undefined || (ratios.unbatched >= BOUNDS.unbatched && ratios.batched >= BOUNDS.batched)
  return { text: parts.join('\n\n'), met }
}

function deliveryTable({ plain, unbatched, batched, rounds, clients }: NonNullable<LiveFigures['delivery']>): string {
  const row = (name: string, figures: Figures) => [
    name,
    shown(figures.perSecond),
    shown(figures.cpuMsPerThousand),
    `${shown(figures.serverCores)} / ${shown(figures.clientCores)}`,
    `${shown(figures.singlyCpuMsPerThousand)} at ${shown(figures.singlyPerSecond)} a second`,
  ]
  const head = [
    `${clients} clients, medians of ${rounds} interleaved round${rounds === 1 ? '' : 's'}`,
    ...['delivered messages/s', 'CPU-ms for 1 000 messages', 'cores used by server / clients', 'CPU-ms for 1 000, events one by one'],
  ]
  return table(head, [row('plain `ws`', plain), row('**fanout**, `run:` topic', unbatched), row('**fanout**, `"batch": true`', batched)])
}

function verdict({ unbatched, batched }: { unbatched: number; batched: number }): string {
  const judged = (ratio: number, bound: number) => `${shown(ratio)} × (bound ${bound} ×, ${ratio >= bound ? 'met' : '**broken**'})`
  return `Of what plain \`ws\` delivers: ${judged(unbatched, BOUNDS.unbatched)}; with batch ${judged(batched, BOUNDS.batched)}.`
}

function idleTable(idle: Figures): string {
  const head = ['idle clients on one replica', 'KiB each', 'cores used', 'all connected and subscribed after s', 'the last pong after ms']
  const { clients, bytesPerClient = Number.NaN, idleCores, connectSeconds, longestPongMs } = idle
  return table(head, [[shown(clients), shown(bytesPerClient / KIB), shown(idleCores), shown(connectSeconds), shown(longestPongMs)]])
}

function stormTable({ clients, backSeconds, caughtUpSeconds, lost, doubled, refused }: Figures): string {
  const head = [
    'clients that come back at once',
    'all subscribed after s',
    'all caught up after s',
    'events lost',
    'events doubled',
    'tries refused',
  ]
  return table(head, [[clients, backSeconds, caughtUpSeconds, lost, doubled, refused].map(shown)])
}
