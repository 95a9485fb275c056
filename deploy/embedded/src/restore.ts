/** make restore FILE=… [CONFIRM=yes]: puts a backup in the place of what is there, and starts the stack again if it ran. */
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Redis } from 'ioredis'
import { fingerprintKey, kindOfBackup, readManifest, unpackBackup } from './backup-archive.ts'
import { runsInContainers } from './compose.ts'
import { composeServices, flushContainerRedis, placeOfContainer } from './compose-exec.ts'
import { confirmLoss } from './confirm-loss.ts'
import { checkDump, placeOfServer, restoreDatabase } from './dump-database.ts'
import { findPostgresBinaries } from './postgres-binaries.ts'
import { recordedProcesses } from './process-identity.ts'
import { settingsOfRunning } from './running-stack.ts'
import { namesSeveral } from './several-redis.ts'
import { stackPaths } from './stack-paths.ts'
import { runCommand, StackProblem } from './stack-problem.ts'
import { stackPostgres } from './stack-programs.ts'
import type { StackSettings } from './stack-settings.ts'
import { stopStack } from './stop-stack.ts'
import { takeLock } from './take-lock.ts'
import { type Account, accountForPostgres } from './unprivileged-account.ts'

const paths = stackPaths()
const say = (sentence: string) => console.log(sentence)
const LOSS = 'All runs, workflows, keys and secrets of this stack are replaced by those of the backup'

async function restoreEmbedded(settings: StackSettings, file: string): Promise<void> {
  const account = accountForPostgres()
  const manifest = readManifest(file, findPostgresBinaries(account).major)
  await confirmLoss('make restore FILE=…', `${LOSS}, which was made at ${manifest.createdAt}`)
  const { dataDir } = stackPostgres(paths, settings, say)
  const [incoming, former] = [`${dataDir}.restoring`, `${dataDir}.before-restore`]
  for (const folder of [incoming, former]) rmSync(folder, { recursive: true, force: true })
  unpackBackup(file, incoming)
  if (account) giveTo(account, incoming)
  chmodSync(incoming, 0o700)
  await stopStack(paths) // not before there is something to start again with
  if (existsSync(dataDir)) renameSync(dataDir, former)
  renameSync(incoming, dataDir)
  rmSync(former, { recursive: true, force: true })
  if (manifest.masterKey !== fingerprintKey(settings.values['BATON_MASTER_KEY'] ?? ''))
    say('BATON_MASTER_KEY is another one than that of the backup: secrets cannot be read until the former one stands in .env.')
}

/** PostgreSQL refuses a folder with a file of somebody else. */
function giveTo(account: Account, folder: string): void {
  chownSync(folder, account.uid, account.gid)
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) giveTo(account, join(folder, entry.name))
    else if (entry.isFile()) chownSync(join(folder, entry.name), account.uid, account.gid)
  }
}

/** What stands in Redis belongs to the data that are gone; it is made again from PostgreSQL. */
async function emptyRedis(settings: StackSettings): Promise<void> {
  if (settings.ownRedis) return rmSync(paths.redis, { recursive: true, force: true })
  if (namesSeveral(settings.redisUrl))
    return say('REDIS_URL names several servers: empty them (FLUSHALL on each master) before the stack is started again.')
  const redis = new Redis(settings.redisUrl, { lazyConnect: true, maxRetriesPerRequest: 1 })
  try {
    await redis.connect()
    await redis.flushdb()
  } catch (error) {
    throw new StackProblem(`The Redis of REDIS_URL cannot be emptied: ${(error as Error).message}`, { cause: error })
  } finally {
    redis.disconnect()
  }
}

async function restoreLocal(settings: StackSettings, file: string): Promise<void> {
  const kind = kindOfBackup(file)
  if (settings.ownPostgres && kind === 'dump')
    throw new StackProblem(`${file} is a dump for a PostgreSQL in a container or of your own; the embedded stack takes backups of its own.`)
  const ran = recordedProcesses(paths.pids).size > 0
  if (settings.ownPostgres) await restoreEmbedded(settings, file)
  else {
    const place = await placeOfServer(settings)
    checkDump(place, file)
    const redis =
      settings.ownRedis || namesSeveral(settings.redisUrl)
        ? ''
        : `, and the Redis database ${new URL(settings.redisUrl).host}${new URL(settings.redisUrl).pathname} is emptied`
    await confirmLoss('make restore FILE=…', `${LOSS}${redis}`)
    await stopStack(paths)
    restoreDatabase(place, file)
  }
  await emptyRedis(settings)
  say(`\nRestored from ${file}.`)
  if (!ran) say('Next: make up')
  else startAgain(settings)
}

function startAgain(settings: StackSettings): void {
  unlock?.()
  const env = { ...process.env, BATON_MODE: 'local', BATON_PORT_OFFSET: String(settings.portOffset) }
  const { status } = spawnSync(process.execPath, ['--conditions=@baton/source', join(import.meta.dirname, 'up.ts')], {
    stdio: 'inherit',
    env,
  })
  if (status !== 0) throw new StackProblem('The backup is restored, and the stack did not come up (see above).')
}

async function restoreContainers(settings: StackSettings, file: string): Promise<void> {
  if (kindOfBackup(file) !== 'dump') throw new StackProblem(`${file} is a backup of an embedded stack; containers take dumps of pg_dump.`)
  const place = settings.ownPostgres ? placeOfContainer(paths) : await placeOfServer(settings)
  checkDump(place, file)
  await confirmLoss('make restore FILE=…', LOSS)
  composeServices(paths, 'stop')
  try {
    restoreDatabase(place, file)
    if (settings.ownRedis) flushContainerRedis(paths)
    else await emptyRedis(settings)
  } finally {
    composeServices(paths, 'start')
  }
  say(`\nRestored from ${file}; the services start again (make health tells when they are well).`)
}

let unlock: (() => void) | undefined
await runCommand(async () => {
  if (!process.env['FILE']) throw new StackProblem('Name the backup: make restore FILE=backups/…')
  const file = resolve(paths.root, process.env['FILE'])
  mkdirSync(paths.local, { recursive: true })
  unlock = await takeLock(paths.lock, (pid) => say(`Another command on this stack is under way (pid ${pid}); waiting for it …`))
  process.once('exit', unlock)
  const settings = settingsOfRunning(paths)
  await (runsInContainers(paths) ? restoreContainers(settings, file) : restoreLocal(settings, file))
  return 0
})
