/**
 * `make bench`: measures W1, W2 and W3 against the running stack and prints the figures; `--write` also puts them into bench/README.md,
 * `--quick` takes a tenth of the runs (to see that it works; its figures mean little).
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { reportOf, writeReport } from './report.ts'
import { openStack } from './stack.ts'
import { type Figures, measureFan, measureGate, measureSequence, saveWorkflows } from './workloads.ts'

async function startTarget(): Promise<{ url: string; stop(): void }> {
  const child = fork(join(import.meta.dirname, 'target.ts'), { execArgv: ['--no-warnings'] })
  const [message] = (await once(child, 'message')) as [{ port: number }]
  return { url: `http://127.0.0.1:${message.port}`, stop: () => child.disconnect() }
}

async function measure(options: { quick: boolean; write: boolean }): Promise<void> {
  const scale = options.quick ? 0.1 : 1
  const sizes = (idleRuns: number, busyRuns: number) => ({ idleRuns: Math.ceil(idleRuns * scale), busyRuns: Math.ceil(busyRuns * scale) })
  const stack = await openStack()
  const target = await startTarget()
  try {
    await saveWorkflows(stack, target.url)
    const results: Figures[] = [
      await measureSequence(stack, sizes(100, 1_000)),
      await measureFan(stack, sizes(30, 200)),
      await measureGate(stack, target.url, sizes(50, 500)),
    ]
    const report = reportOf(results, new Date())
    console.log(report)
    if (options.write) writeReport(join(import.meta.dirname, '../README.md'), report)
  } finally {
    target.stop()
    await stack.close()
  }
}

const { values } = parseArgs({
  allowPositionals: true,
  options: { write: { type: 'boolean', default: false }, quick: { type: 'boolean', default: false } },
})
await measure(values).catch((error: Error) => {
  console.error(`bench: ${error.message}`)
  process.exitCode = 1
})
