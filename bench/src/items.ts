/**
 * `make bench-items`: a `forEach` over one long list beside the same number of items in short ones. Exits 1 when an item of the long one costs
 * much more, when the workflow-runner grows with it, or when results are missing or out of order. `--write` puts the table into bench/README.md.
 */
import { join } from 'node:path'
import { stackPaths } from '@baton/embedded'
import { type ItemsRound, itemsReport, type ListFigures } from './items-report.ts'
import { judgeItems } from './judge-items.ts'
import { type ItemsOptions, parseItemsOptions } from './options.ts'
import { type OwnStack, startOwnStack } from './own-stack.ts'
import { memoryOf } from './processes.ts'
import { writeFigures } from './report.ts'
import { onInterrupt, runCommand } from './run-command.ts'
import { startTarget, type Target } from './start-target.ts'
import { cpuMsByProcess, spentCpuMs } from './usage.ts'

const FOLDER = join(stackPaths().local, 'bench')
const WORKFLOW = 'bench-items'
const RUNNER = 'workflow-runner'
/** Nobody listens there. */
const REFUSED = 'http://127.0.0.1:1/'
const SAMPLE_MS = 100
const CONCURRENCY = 50
/** Code that has just been compiled costs more: the first items are not counted. */
const WARM_UP_RUNS = 30

async function measureItems(options: ItemsOptions): Promise<number> {
  const target = await startTarget()
  let stack: OwnStack | undefined
  const stop = async () => {
    await stack?.stop()
    await target.stop()
  }
  const watched = onInterrupt(stop)
  try {
    // The item that is refused its connection is one of each list: the breaker of its host would have the later lists wait for it.
    stack = await startOwnStack(join(FOLDER, 'stack'), target.url, { settings: { HTTP_WORKER_BREAKER_FAILURES: '0' } })
    await stack.client.call('PUT', `/workflows/${WORKFLOW}`, definition())
    await measureLists(stack, target, WARM_UP_RUNS, options.few)
    const rounds: ItemsRound[] = []
    for (let round = 0; round < options.rounds; round++) {
      const short = await measureLists(stack, target, Math.ceil(options.items / options.few), options.few)
      const long = await measureLists(stack, target, 1, options.items)
      rounds.push({ short, long })
      console.error(`round ${round + 1} of ${options.rounds}`)
    }
    const report = itemsReport(rounds, options, new Date())
    console.log(report)
    if (options.write) writeFigures('items', report)
    const broken = judgeItems(rounds)
    for (const line of broken) console.error(line)
    return broken.length === 0 ? 0 : 1
  } finally {
    watched()
    await stop()
  }
}

function definition(): unknown {
  const steps = { call: { http: { url: '${{ item }}' } } }
  return { steps: { each: { forEach: { in: '${{ input.urls }}', concurrency: CONCURRENCY, onItemError: 'continue', steps } } } }
}

/** So many runs, one after the other, over a list of so many items. */
async function measureLists(stack: OwnStack, target: Target, runs: number, items: number): Promise<ListFigures> {
  const urls = Array.from({ length: items }, (_, index) => (index === items >> 1 ? REFUSED : `${target.url}/s/-/run/${index}`))
  const memory = watchMemory(stack)
  const cpu = cpuMsByProcess(stack.processes())
  const from = performance.now()
  let wrong = 0
  for (let run = 0; run < runs; run++) if (!(await isRight(stack, urls))) wrong++
  const ms = performance.now() - from
  const spent = spentCpuMs(cpu, cpuMsByProcess(stack.processes()))
  const grownBytes = memory.stop()
  return {
    cpuMs: new Map([...spent].map(([name, sum]) => [name, sum / (runs * items)])),
    itemsPerSecond: (runs * items * 1_000) / ms,
    grownBytes,
    wrong,
  }
}

/** Runs the list to its end: all items but the one in the middle succeeded, each in its place. */
async function isRight({ client }: OwnStack, urls: readonly string[]): Promise<boolean> {
  const { id } = await client.call<{ id: string }>('POST', `/workflows/${WORKFLOW}/runs`, { input: { urls } })
  for (;;) {
    const { status } = await client.call<{ status: string }>('GET', `/runs/${id}?wait=30s`)
    if (status === 'succeeded') break
    if (status === 'failed') return false
  }
  const { results } = await client.call<{ results: { status: string }[] }>('GET', `/runs/${id}/steps/each/output`)
  return results.length === urls.length && results.every(({ status }, index) => (status === 'failed') === (urls[index] === REFUSED))
}

/** How much resident memory the runner has more at its highest than when it began to be watched. */
function watchMemory(stack: OwnStack): { stop(): number } {
  const read = () => memoryOf(new Map([...stack.processes().services].filter(([name]) => name === RUNNER))).get(RUNNER)!.rss
  const before = read()
  let highest = before
  const look = () => {
    highest = Math.max(highest, read())
  }
  const timer = setInterval(look, SAMPLE_MS)
  return {
    stop() {
      clearInterval(timer)
      look()
      return highest - before
    },
  }
}

await runCommand('bench-items', () => measureItems(parseItemsOptions(process.argv.slice(2))))
