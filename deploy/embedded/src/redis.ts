import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Program } from './program.ts'

/** How an embedded Redis is to run. */
export type RedisOptions = { command: string; dataDir: string; port: number; password: string }

/** The embedded Redis as a program for the supervisor: append-only file each second, noeviction, password, loopback alone. */
export function redisProgram({ command, dataDir, port, password }: RedisOptions): Program {
  const configFile = join(dataDir, 'redis.conf')
  return {
    name: 'redis',
    command,
    args: [configFile], // not as arguments: everybody on the machine can read those
    env: { PATH: process.env['PATH'] },
    cwd: dataDir,
    stopSignal: 'SIGTERM',
    prepare: async () => {
      mkdirSync(dataDir, { recursive: true, mode: 0o700 })
      writeFileSync(configFile, configText(dataDir, port, password), { mode: 0o600 })
      chmodSync(configFile, 0o600)
      removeUnreadableDump(dataDir)
    },
    isReady: () => answersPing(port, password),
  }
}

function configText(dataDir: string, port: number, password: string): string {
  return [
    'bind 127.0.0.1',
    `port ${port}`,
    `requirepass "${password}"`,
    `dir "${dataDir}"`,
    'daemonize no',
    'save ""',
    'appendonly yes',
    'appendfsync everysec',
    'aof-load-truncated yes',
    'maxmemory-policy noeviction',
    'hz 2', // what it does ten times a second by default is most of what it takes at rest
    'loglevel notice',
    '',
  ].join('\n')
}

/** An append-only folder without its manifest (a cut-off first start) would keep Redis from starting; it holds nothing then. */
function removeUnreadableDump(dataDir: string): void {
  const folder = join(dataDir, 'appendonlydir')
  if (existsSync(folder) && !existsSync(join(folder, 'appendonly.aof.manifest'))) rmSync(folder, { recursive: true, force: true })
}

/** One PING by hand, so that waiting for a server that is not there yet costs no client with its reconnects. */
async function answersPing(port: number, password: string): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.setTimeout(1_000, () => socket.destroy())
  return new Promise((resolve) => {
    let answer = ''
    socket.on('connect', () => socket.write(`*2\r\n$4\r\nAUTH\r\n$${Buffer.byteLength(password)}\r\n${password}\r\n*1\r\n$4\r\nPING\r\n`))
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1')
      if (answer.includes('+PONG') || answer.startsWith('-')) socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(answer.includes('+PONG')))
  })
}
