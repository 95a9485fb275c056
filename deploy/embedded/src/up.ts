/** make up [S=service …], make dev (--watch), make prod (--images: no build): brings the stack up, or finds it running, and says how to go on. */
import { existsSync, mkdirSync } from 'node:fs'
import { chooseMode } from './choose-mode.ts'
import { composeUp } from './compose.ts'
import { readDotEnv } from './dot-env.ts'
import { fingerprintStack } from './fingerprint-stack.ts'
import { followLogs } from './follow-logs.ts'
import { isServiceName, SERVICE_NAMES, SERVICES } from './services.ts'
import { stackPaths } from './stack-paths.ts'
import { explainFileError, runCommand, StackProblem } from './stack-problem.ts'
import { reachable } from './stack-programs.ts'
import { loadStackSettings, type StackSettings } from './stack-settings.ts'
import { startStack } from './start-stack.ts'
import { stopStack } from './stop-stack.ts'
import { takeLock } from './take-lock.ts'

const paths = stackPaths()
const say = (sentence: string) => console.log(sentence)

async function up(): Promise<number | undefined> {
  const names = process.argv.slice(2).filter((word) => !word.startsWith('--'))
  const watch = process.argv.includes('--watch')
  const unknown = names.find((name) => !isServiceName(name))
  if (unknown) throw new StackProblem(`There is no service ${unknown}; there are ${SERVICE_NAMES.join(', ')}.`)
  prepareLocal()
  const unlock = await takeLock(paths.lock, (pid) => say(`Another command on this stack is under way (pid ${pid}); waiting for it …`))
  process.once('exit', unlock)
  if (existsSync(paths.postgres) && !process.env['BATON_MASTER_KEY'] && !readDotEnv(paths.dotEnv)['BATON_MASTER_KEY'])
    say('There is no BATON_MASTER_KEY in .env, so a new one is made: secrets that were saved under the former one cannot be read with it.')
  const settings = loadStackSettings(paths)
  const mode = watch ? 'local' : chooseMode(process.env['BATON_MODE'] || readDotEnv(paths.dotEnv)['BATON_MODE'])
  const begin = performance.now()
  if (mode === 'docker') {
    if (existsSync(paths.postgres))
      say('The data of the embedded stack (.local) are not used by the containers; BATON_MODE=local make up uses them.')
    await composeUp(paths, settings, names.filter(isServiceName), say, { build: !process.argv.includes('--images') })
  } else await upLocal(settings, names, watch)
  unlock()
  sayGoodbye(settings, (performance.now() - begin) / 1000, names.length === 0 || mode === 'docker')
  return watch ? untilInterrupted() : undefined
}

function prepareLocal(): void {
  try {
    mkdirSync(paths.local, { recursive: true })
  } catch (error) {
    throw explainFileError(error, paths.local)
  }
}

async function upLocal(settings: StackSettings, names: string[], watch: boolean): Promise<void> {
  const services = names.length > 0 ? names.filter(isServiceName) : SERVICE_NAMES
  say(`Starting Baton as processes of this machine (data and logs in ${paths.local}) …`)
  let interruption: Promise<void> | undefined
  const interrupted = () => {
    say('\nInterrupted: stopping what was started …')
    interruption = stopStack(paths).then(() => process.exit(130))
  }
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted)
  const fingerprint = fingerprintStack(paths, settings)
  await startStack(paths, settings, { services, exactly: names.length === 0, watch, fingerprint, say }).catch(async (error) => {
    await interruption // which ends the process: that the supervisor went away is no news then
    throw error
  })
  process.off('SIGINT', interrupted).off('SIGTERM', interrupted)
}

function sayGoodbye(settings: StackSettings, seconds: number, whole: boolean): void {
  const at = (service: keyof typeof SERVICES) => `${reachable(settings.host)}:${SERVICES[service] + settings.portOffset}`
  say(`\nBaton is up (${seconds.toFixed(1)} s).`)
  if (whole) {
    say(`  REST API      http://${at('orchestrator')}/api/v1     reference: http://${at('orchestrator')}/docs`)
    say(`  live events   ws://${at('fanout')}/ws   http://${at('fanout')}/sse/runs/{id}`)
  }
  say(`  admin key     ${settings.adminKey}     (BATON_ADMIN_KEY in .env)`)
  const offset = process.env['BATON_PORT_OFFSET'] ? `BATON_PORT_OFFSET=${settings.portOffset} ` : ''
  say(`\nNext: ${offset}make demo     (also: make health, make logs, make down)`)
}

/** make dev: the logs in the terminal until Ctrl-C, which ends the stack. */
async function untilInterrupted(): Promise<number> {
  say('\nWatching the sources; Ctrl-C stops the stack.\n')
  const logs = followLogs(paths)
  await new Promise((resolve) => process.once('SIGINT', resolve).once('SIGTERM', resolve))
  say('\nStopping …')
  await stopStack(paths)
  logs.stop()
  return 0
}

await runCommand(up)
