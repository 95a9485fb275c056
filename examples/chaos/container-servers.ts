/** PostgreSQL and Redis in their containers, taken away as an operator or a crash takes them. */
import { setTimeout as pause } from 'node:timers/promises'
import { until } from '@baton/testing'
import { docker } from './docker.ts'
import type { ChaosPostgres, ChaosRedis } from './stack.ts'

const START_MS = 60_000
/** A stop in order has this long before the engine kills. */
const STOP_SECONDS = '60'

/** The PostgreSQL of the container: `fast` is its stop signal, `immediate` SIGQUIT. The engine leaves alone what was ended through it. */
export function containerPostgres(idNow: () => string): ChaosPostgres {
  const ask = (query: string) =>
    docker(['exec', idNow(), 'psql', '--username=baton', '--dbname=baton', '--tuples-only', '--no-align', '--command', query])
  return {
    async restart(how, awayMs = 0) {
      const id = idNow()
      if (how === 'fast') await docker(['stop', '-t', STOP_SECONDS, id])
      else {
        await docker(['kill', '--signal', 'QUIT', id])
        await docker(['wait', id])
      }
      await pause(awayMs)
      await docker(['start', id])
      await until(async () => (await ask('select 1')) === '1', { timeoutMs: START_MS, what: 'PostgreSQL to serve' })
    },
    terminateBackends: async () =>
      Number(
        await ask(
          `select count(pg_terminate_backend(pid)) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'`,
        ),
      ),
  }
}

/** The Redis of the container. It is the first process there, to which signals from inside mean nothing: it hangs by being frozen. */
export function containerRedis(idNow: () => string): ChaosRedis {
  const withPassword = 'REDISCLI_AUTH="$(cat /run/secrets/redis_password)" exec redis-cli "$@"'
  const ask = (...words: string[]) => docker(['exec', idNow(), 'sh', '-c', withPassword, 'sh', ...words])
  return {
    disk: { missing: 'the disk of a container is that of the machine, which is not filled' },
    kill: async () => void (await docker(['kill', idNow()])),
    async start({ emptied = false } = {}) {
      if (emptied) await removeFiles(idNow())
      await docker(['start', idNow()])
      await until(async () => (await ask('ping')) === 'PONG', { timeoutMs: START_MS, what: 'Redis to serve' })
    },
    pause: async () => void (await docker(['pause', idNow()])),
    resume: async () => void (await docker(['unpause', idNow()])),
    flushAll: async () => void (await ask('flushall')),
  }
}

/** What stands in the volume of a Redis that does not run is reached from another container. */
async function removeFiles(id: string): Promise<void> {
  const image = await docker(['inspect', '--format', '{{.Config.Image}}', id])
  await docker(['run', '--rm', '--network=none', '--volumes-from', id, '--entrypoint=rm', image, '-rf', '/data/appendonlydir'])
}
