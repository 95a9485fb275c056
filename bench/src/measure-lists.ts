/** Lists and counts of runs under filters, as an operator reads them. */
import type { BatonClient } from './baton-client.ts'
import { type Figures, quantile } from './statistics.ts'

const DAY_MS = 24 * 3_600_000

/** A reading, by what the report calls it; `ask` gives the path of the nth request, so that filters with many values do not read one page over and over. */
interface Reading {
  name: string
  ask(index: number): string
}

/** The readings of a database that was filled with the mix until now. A deep cursor is one that the API itself gave. */
async function readings(client: BatonClient): Promise<Reading[]> {
  const ago = (days: number) => new Date(Date.now() - days * DAY_MS).toISOString()
  const release = ago(28).slice(0, 10)
  const deep = async (filter: string) => {
    const { nextCursor } = await client.call<{ nextCursor: string | null }>('GET', `/runs?limit=50&until=${ago(20)}${filter}`)
    return nextCursor === null ? '' : `&cursor=${nextCursor}`
  }
  const [deepAll, deepFailed] = [await deep(''), await deep('&status=failed')]
  const list = (name: string, filter: string | ((index: number) => string)): Reading => {
    return { name, ask: (index) => `/runs?limit=50${typeof filter === 'string' ? filter : filter(index)}` }
  }
  const count = (name: string, filter: string): Reading => ({ name: `count: ${name}`, ask: () => `/runs/count?${filter}` })
  return [
    list('all', ''),
    list('a workflow', '&workflow=bench-orders'),
    list('a rare workflow', '&workflow=bench-audits'),
    list('failed among succeeded', '&status=failed'),
    list('open', '&status=queued,running,waiting,paused'),
    list('a workflow, failed', '&workflow=bench-orders&status=failed'),
    list('a rare workflow, failed', '&workflow=bench-audits&status=failed'),
    list('a rare workflow, cancelled (none)', '&workflow=bench-audits&status=cancelled'),
    list('a label of many', '&label=team:t1'),
    list('a label of some seventy', (index) => `&label=customer:c${(index * 37) % 10_000}`),
    list('a label of one old day', `&label=release:${release}`),
    list('a rare label', '&label=incident:i7'),
    list('a label that nothing has', '&label=incident:i8'),
    list('two labels', (index) => `&label=team:t${((index * 37) % 10_000) % 4}&label=customer:c${(index * 37) % 10_000}`),
    list('a label of many, failed', '&label=team:t1&status=failed'),
    list('a label of one old day, a rare workflow', `&label=release:${release}&workflow=bench-audits`),
    list('since a day', `&since=${ago(1)}`),
    list('until 20 days ago', `&until=${ago(20)}`),
    list('one old day, cancelled', `&since=${ago(21)}&until=${ago(20)}&status=cancelled`),
    list('a deep page', deepAll),
    list('a deep page of failed', `&status=failed${deepFailed}`),
    count('all', ''),
    count('failed', 'status=failed'),
    count('a workflow', 'workflow=bench-orders'),
    count('a rare workflow, failed', 'workflow=bench-audits&status=failed'),
    count('a label of some seventy', 'label=customer:c74'),
    count('a label of many', 'label=team:t1'),
    count('one old day', `since=${ago(21)}&until=${ago(20)}`),
    count('since 20 days', `since=${ago(20)}`),
  ]
}

/** Asks each reading `times` times, one after the other. Figures: `<name>@p50` and `<name>@p99`, in ms through the API. */
export async function measureReadings(client: BatonClient, times: number, say: (sentence: string) => void): Promise<Figures> {
  const figures: Figures = {}
  for (const { name, ask } of await readings(client)) {
    const latencies: number[] = []
    for (let index = 0; index < times; index++) {
      const startedAt = performance.now()
      await client.call('GET', ask(index))
      latencies.push(performance.now() - startedAt)
    }
    figures[`${name}@p50`] = quantile(latencies, 0.5)
    figures[`${name}@p99`] = quantile(latencies, 0.99)
    say(`${name}: p50 ${figures[`${name}@p50`]!.toFixed(1)} ms, p99 ${figures[`${name}@p99`]!.toFixed(1)} ms`)
  }
  return figures
}
