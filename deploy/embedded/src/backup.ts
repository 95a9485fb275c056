/** make backup [FILE=…]: everything that Baton keeps, in one file, while the stack runs or not. */
import { existsSync, mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { prepareBackupFile, sizeOf } from './backup-archive.ts'
import { runsInContainers } from './compose.ts'
import { placeOfContainer } from './compose-exec.ts'
import { copyPostgres } from './copy-postgres.ts'
import { dumpDatabase, placeOfServer } from './dump-database.ts'
import { recordedProcess } from './process-identity.ts'
import { settingsOfRunning } from './running-stack.ts'
import { stackPaths } from './stack-paths.ts'
import { runCommand, StackProblem } from './stack-problem.ts'
import { stackPostgres } from './stack-programs.ts'
import type { StackSettings } from './stack-settings.ts'
import { takeLock } from './take-lock.ts'

const paths = stackPaths()
const say = (sentence: string) => console.log(sentence)

/** Outside .local, which make clean removes. */
function chooseFile(kind: 'folder' | 'dump'): string {
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(':', '-')
  const file = resolve(paths.root, process.env['FILE'] || `backups/baton-${stamp}.${kind === 'dump' ? 'dump' : 'tar.gz'}`)
  if (file.startsWith(`${paths.local}/`))
    throw new StackProblem('make clean removes .local, so a backup does not go there: name another FILE.')
  prepareBackupFile(file)
  return file
}

async function copyEmbedded(settings: StackSettings): Promise<string> {
  const { dataDir } = stackPostgres(paths, settings, say)
  if (!existsSync(join(dataDir, 'PG_VERSION'))) throw new StackProblem('There is nothing to back up: this stack has no data yet.')
  const running = recordedProcess(paths.pids, 'postgres') !== undefined
  const file = chooseFile('folder')
  say(`Copying the database${running ? ' while it runs' : ''} …`)
  await copyPostgres({ dataDir, file, masterKey: masterKeyOf(settings), ...(running && { databaseUrl: settings.databaseUrl }) })
  return file
}

function masterKeyOf({ values }: StackSettings): string {
  return values['BATON_MASTER_KEY'] ?? ''
}

await runCommand(async () => {
  mkdirSync(paths.local, { recursive: true })
  const unlock = await takeLock(paths.lock, (pid) => say(`Another command on this stack is under way (pid ${pid}); waiting for it …`))
  process.once('exit', unlock)
  const settings = settingsOfRunning(paths)
  let file: string
  if (settings.ownPostgres && !runsInContainers(paths)) file = await copyEmbedded(settings)
  else {
    const place = settings.ownPostgres ? placeOfContainer(paths) : await placeOfServer(settings)
    file = chooseFile('dump')
    dumpDatabase(place, file)
  }
  say(`\n${file} (${sizeOf(file)}) holds all workflows, runs, events, approvals, keys and encrypted secrets.`)
  say('Keep BATON_MASTER_KEY (in .env) too, in another place: without it the secrets in this file cannot be read.')
  say('Redis needs no backup: what stands in it is made again from PostgreSQL.')
  say(`\nTo go back to it: make restore FILE=${file}`)
  return 0
})
