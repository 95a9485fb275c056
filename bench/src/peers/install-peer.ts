import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Peer } from './peer.ts'

/** Installs the packages of a peer from npm into the folder, in the exact versions, unless they are there; none of their scripts run. */
export async function installPeer(peer: Peer, folder: string): Promise<void> {
  const manifest = JSON.stringify({ private: true, type: 'module', dependencies: peer.packages }, null, 2)
  const file = join(folder, 'package.json')
  const stamp = join(folder, 'installed')
  if (existsSync(stamp) && existsSync(file) && readFileSync(file, 'utf8') === manifest) return
  mkdirSync(folder, { recursive: true })
  rmSync(stamp, { force: true })
  writeFileSync(file, manifest)
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error']
  await promisify(execFile)('npm', args, { cwd: folder, timeout: 300_000 }).catch((error: Error & { stderr?: string }) => {
    const reason = error.stderr?.trim().split('\n').slice(0, 3).join(' ') || error.message
    throw new Error(`${peer.title} could not be installed from npm: ${reason}`, { cause: error })
  })
  writeFileSync(stamp, '')
}
