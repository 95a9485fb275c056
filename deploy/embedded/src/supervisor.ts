/** The detached process that owns the stack. Started by `make up` with the settings in its environment; SIGHUP: follow what is wanted; SIGTERM: stop all. */
import { runSupervisor } from './run-supervisor.ts'
import { stackPaths } from './stack-paths.ts'
import { loadStackSettings } from './stack-settings.ts'

const log = (sentence: string) => console.log(`${new Date().toISOString()} ${sentence}`)
const paths = stackPaths()
const fingerprint = process.env['BATON_STACK_FINGERPRINT'] ?? ''
for (const name of ['BATON_STACK_ROOT', 'BATON_STACK_FINGERPRINT']) delete process.env[name]

const supervisor = runSupervisor(paths, loadStackSettings(paths), fingerprint, {
  log,
  onForgotten: () => fail(`${paths.pids} is gone: whoever removed or moved it cannot stop this stack any more`),
})
let failed = false

async function end(): Promise<void> {
  await supervisor.stop()
  log('the stack has stopped')
  process.exit(failed ? 1 : 0)
}
function fail(error: unknown): void {
  failed = true
  log(`the supervisor gives up: ${error instanceof Error ? error.stack : error}`)
  void end()
}

process.on('SIGTERM', end).on('SIGINT', end)
process.on('SIGHUP', () => void supervisor.follow().catch((error) => log(String(error))))
// the stack outlives a mistake in here, and a log that cannot be written
process.on('uncaughtException', (error) => log(String(error.stack))).on('unhandledRejection', (error) => log(String(error)))
process.stdout.on('error', () => {})
log(`the supervisor starts (pid ${process.pid})`)
await supervisor.start().catch(fail)
