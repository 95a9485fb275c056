/**
 * `make bench`: measures W1, W2 and W3 against the running stack and prints the figures; `--write` also puts them into bench/README.md,
 * `--quick` takes a tenth of the runs (to see that it works; its figures mean little).
 */
import { parseStackOptions } from './options.ts'
import { stackReport, writeFigures } from './report.ts'
import { runCommand } from './run-command.ts'
import { openRunningStack } from './running-stack.ts'
import { startTarget } from './start-target.ts'
import { measureGate, measureRuns } from './workloads.ts'

async function measure({ quick, write }: { quick: boolean; write: boolean }): Promise<number> {
  const sizes = (idleRuns: number, busyRuns: number) => {
    const scale = quick ? 0.1 : 1
    return { idleRuns: Math.ceil(idleRuns * scale), busyRuns: Math.ceil(busyRuns * scale) }
  }
  const stack = await openRunningStack()
  const target = await startTarget()
  try {
    await stack.client.save(target.url)
    const results = [
      { name: 'W1: ten http steps in sequence', figures: await measureRuns(stack, target, 'sequence', sizes(100, 1_000)) },
      { name: 'W2: 1 → 100 → join', figures: await measureRuns(stack, target, 'fan', sizes(30, 200)) },
      { name: 'W3: approval → next step', figures: await measureGate(stack, target, sizes(50, 500)) },
    ]
    const report = stackReport(results, new Date())
    console.log(report)
    if (write) writeFigures('stack', report)
    return 0
  } finally {
    await target.stop()
    await stack.client.close()
  }
}

await runCommand('bench', () => measure(parseStackOptions(process.argv.slice(2))))
