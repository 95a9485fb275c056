import { randomInt } from 'node:crypto'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { createServer } from 'node:net'

const PORT_MIN = 12_000
const PORT_MAX = 31_999

/**
 * A port that is free now, from a range that the system does not hand out to outgoing connections: one of those taken between here and the
 * program that is to listen is what makes a start fail now and then.
 */
export async function findFreePort(host = '127.0.0.1'): Promise<number> {
  for (;;) {
    const port = randomInt(PORT_MIN, PORT_MAX + 1)
    if (await isPortFree(port, host)) return port
  }
}

/** Whether a program could listen on the port now. */
export async function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  const server = createServer()
  const free = await new Promise<boolean>((resolve) =>
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'EADDRINUSE')).listen(port, host, () => resolve(true)),
  )
  await new Promise((resolve) => server.close(resolve))
  return free
}

/** Who listens on a TCP port, as far as this user may see it (Linux only; elsewhere and for foreign processes undefined). */
export function whoListens(port: number): { pid: number; command: string } | undefined {
  try {
    const inodes = new Set([...listeningInodes('/proc/net/tcp', port), ...listeningInodes('/proc/net/tcp6', port)])
    if (inodes.size === 0) return undefined
    for (const entry of readdirSync('/proc')) {
      if (/^\d+$/.test(entry) && holdsSocket(entry, inodes)) return { pid: Number(entry), command: commandOf(entry) }
    }
  } catch {}
  return undefined
}

function listeningInodes(table: string, port: number): string[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0')
  try {
    return readFileSync(table, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === '0A' && fields[1]?.endsWith(`:${wanted}`)) // 0A = LISTEN
      .map((fields) => fields[9] ?? '')
  } catch {
    return []
  }
}

function holdsSocket(pid: string, inodes: Set<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      const inode = /^socket:\[(\d+)\]$/.exec(readLink(`/proc/${pid}/fd/${fd}`))?.[1]
      return inode !== undefined && inodes.has(inode)
    })
  } catch {
    return false
  }
}

function readLink(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

function commandOf(pid: string): string {
  const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean)
  const text = words.join(' ') || readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}
