import { execFile, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { StackProblem } from './stack-problem.ts'

const run = promisify(execFile)

/** The path of a redis-server that runs here: the one of BATON_REDIS_SERVER, one on PATH, or one unpacked earlier into the folder; undefined when there is neither. */
export function findRedisServer(unpackedFolder: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(':').filter(Boolean), '/usr/bin', '/usr/local/bin', '/opt/homebrew/bin']
  const named = process.env['BATON_REDIS_SERVER']
  const candidates = [...(named ? [named] : []), ...folders.map((folder) => join(folder, 'redis-server')), wrapperIn(unpackedFolder)]
  return candidates.find(works)
}

function works(command: string): boolean {
  return existsSync(command) && spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0
}

const wrapperIn = (folder: string) => join(folder, 'redis-server')

/** redis-cli on PATH or, else, the one that came with a redis-server of ours; undefined when there is neither. */
export function findRedisCli(unpackedFolder: string): string | undefined {
  return ['redis-cli', join(unpackedFolder, 'redis-cli')].find((command) => !spawnSync(command, ['--version'], { stdio: 'ignore' }).error)
}

/** What apt unpacked finds its libraries through this script, whoever starts it and wherever the checkout has moved to. */
const WRAPPER = `#!/bin/sh
here=$(dirname -- "$(readlink -f -- "$0")")
for lib in "$here"/usr/lib/*-linux-* "$here"/lib/*-linux-*; do [ -d "$lib" ] && LD_LIBRARY_PATH="$lib:$LD_LIBRARY_PATH"; done
export LD_LIBRARY_PATH
exec "$here/usr/bin/$(basename -- "$0")" "$@"
`

/**
 * Finds redis-server or brings it with apt: installed when root, else downloaded and unpacked into the folder.
 * Throws StackProblem that says what to do when there is no apt or no network.
 */
export async function bringRedisServer(unpackedFolder: string, say: (sentence: string) => void): Promise<string> {
  const found = findRedisServer(unpackedFolder)
  if (found) return found
  if (spawnSync('apt-get', ['--version'], { stdio: 'ignore' }).status !== 0) throw missing('there is no apt-get here to bring it')
  const root = process.getuid?.() === 0
  say(
    root
      ? 'redis-server is not on PATH; apt-get installs it …'
      : `redis-server is not on PATH; apt-get unpacks it into ${unpackedFolder} …`,
  )
  try {
    await (root ? installAsRoot() : unpack(unpackedFolder))
  } catch (error) {
    throw missing(explainApt(error), error)
  }
  const brought = findRedisServer(unpackedFolder)
  if (!brought) throw missing('apt-get brought one that does not start')
  return brought
}

function missing(reason: string, cause?: unknown): StackProblem {
  const ways = 'Install Redis 6.2 or newer (Debian: apt-get install redis-server), or give REDIS_URL.'
  return new StackProblem(`redis-server is not on PATH, and ${reason}. ${ways}`, { cause })
}

/** What apt-get says, in the words of whoever waits for it. */
export function explainApt(error: unknown): string {
  const said = `${(error as { stderr?: string }).stderr ?? ''}\n${(error as Error).message}`
  if (/No space left|ENOSPC/.test(said)) return 'the disk is full, so apt-get cannot bring it'
  if (/resolv|Could not connect|Failed to fetch|Cannot initiate|Unable to connect|Network is unreachable/i.test(said))
    return 'apt-get cannot reach its servers to bring it (is there no network?)'
  if (/Unable to locate/.test(said)) return 'apt-get does not know it (without lists of packages: as root, apt-get update)'
  return `apt-get cannot bring it (${said.trim().split('\n')[0]})`
}

const aptEnv = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' }
const aptOptions = ['-o', 'Acquire::Retries=1', '-o', 'Acquire::http::Timeout=20', '-o', 'DPkg::Lock::Timeout=120']

async function installAsRoot(): Promise<void> {
  // the package would start a server of its own on 6379; RUNLEVEL=1 tells its scripts not to
  const install = () =>
    run('apt-get', [...aptOptions, 'install', '-y', '--no-install-recommends', 'redis-server'], {
      env: { ...aptEnv, RUNLEVEL: '1' },
      maxBuffer: 1 << 26,
    })
  await install().catch(async () => {
    await run('apt-get', [...aptOptions, 'update'], { env: aptEnv, maxBuffer: 1 << 26 })
    await install()
  })
}

async function unpack(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true })
  const work = mkdtempSync(join(folder, '..', 'redis-download-'))
  try {
    const packages = await neededPackages()
    await run('apt-get', [...aptOptions, 'download', ...packages], { cwd: work, env: aptEnv, maxBuffer: 1 << 26 })
    for (const file of readdirSync(work).filter((name) => name.endsWith('.deb')))
      await run('dpkg-deb', ['-x', join(work, file), join(work, 'tree')])
    cpSync(join(work, 'tree'), folder, { recursive: true, verbatimSymlinks: true })
    for (const program of [wrapperIn(folder), join(folder, 'redis-cli')]) writeFileSync(program, WRAPPER, { mode: 0o755 })
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** redis-server's packages and those of its libraries that this machine does not have. */
async function neededPackages(): Promise<string[]> {
  const { stdout } = await run('apt-get', [...aptOptions, 'install', '--simulate', '--no-install-recommends', 'redis-server'], {
    env: aptEnv,
  })
  const names = [...stdout.matchAll(/^Inst (\S+)/gm)].flatMap(([, name]) => name ?? [])
  return names.length > 0 ? names : ['redis-server', 'redis-tools']
}
