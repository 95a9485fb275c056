import { spawn } from 'node:child_process'
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { endProcess } from './guard-process.ts'
import type { Teardown } from './test-database.ts'

/** A disk that only programs started through `enter` see; it is gone with this process, whichever way that goes. */
export interface SmallDisk {
  /** The words before a command that make it see the disk. */
  enter: string[]
  /** Where everybody else finds what lies on it. */
  outside: string
  /** Takes all room that is left. */
  fill(): void
  /** Gives it back. */
  free(): void
}

const BLOCK = Buffer.alloc(64 * 1024)

/** Lays a memory file system of `bytes` over `directory`, in a mount namespace of its own; says why when this user or system cannot. */
export async function smallDisk(t: Teardown, directory: string, bytes: number): Promise<SmallDisk | { missing: string }> {
  const isRoot = process.getuid?.() === 0
  const script = 'mount -t tmpfs -o "size=$1" tmpfs "$0" && echo made && exec cat'
  const asRoot = isRoot ? [] : ['--user', '--map-root-user']
  const holder = spawn('unshare', [...asRoot, '--mount', '--propagation=private', 'sh', '-c', script, directory, String(bytes)], {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  })
  const said = await new Promise<string>((resolve) => {
    let text = ''
    const hear = (chunk: Buffer) => {
      text += chunk
      if (text.includes('made')) resolve('made')
    }
    holder.stdout.on('data', hear)
    holder.stderr.on('data', hear)
    holder.once('error', (error) => resolve(error.message))
    holder.once('close', () => resolve(text.trim()))
  })
  if (said !== 'made') return { missing: `no disk can be mounted here (${said || 'unshare failed'})` }
  for (const part of [holder, holder.stdin, holder.stdout, holder.stderr] as unknown as { unref(): void }[]) part.unref()
  t.teardown(() => endProcess(holder, 'SIGKILL'))
  const outside = join(`/proc/${holder.pid}/root`, directory)
  const filler = join(outside, 'filler')
  const enter = ['nsenter', ...(isRoot ? [] : ['--user', '--preserve-credentials']), '--mount', `--target=${holder.pid}`, '--']
  return { enter, outside, fill: () => fill(filler), free: () => rmSync(filler, { force: true }) }
}

function fill(file: string): void {
  const handle = openSync(file, 'w')
  try {
    for (let size = BLOCK.length; size >= 1; ) {
      try {
        writeSync(handle, BLOCK, 0, size)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
        size >>= 1
      }
    }
  } finally {
    closeSync(handle)
  }
}
