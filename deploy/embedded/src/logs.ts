/** make logs [S=service]: follows the logs of the stack until Ctrl-C. */
import { composeLogs } from './compose.ts'
import { followLogs } from './follow-logs.ts'
import { stackPaths } from './stack-paths.ts'
import { runCommand } from './stack-problem.ts'
import { readState } from './stack-state.ts'

const paths = stackPaths()

await runCommand(async () => {
  const only = process.argv[2]
  if (readState(paths)?.mode === 'docker') return composeLogs(paths, only)
  const logs = followLogs(paths, only)
  process.once('SIGINT', logs.stop).once('SIGTERM', logs.stop)
  process.stdout.on('error', logs.stop) // make logs | head
  await logs.done
  return 0
})
