/**
 * The sockets of a pool, where postgres.js' own do not do: over TLS it goes on in the dark when the server has none, checks the certificate of
 * an address against `localhost`, and starts to speak before anything is checked; and it lets a statement wait for ever on a server that hangs.
 */
import { readFile } from 'node:fs/promises'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { checkServerIdentity, connect as connectTls, type PeerCertificate, type ConnectionOptions as TlsOptions } from 'node:tls'
import type { DatabaseTarget, DatabaseTls } from './database-url.ts'
import { ConnectionLost, StatementTimeout, TlsRefused } from './errors.ts'

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])
const YES = 'S'.charCodeAt(0)
/** What OpenSSL says of a certificate that it does not accept. */
const CERTIFICATE_CODES = /^(CERT_|DEPTH_|SELF_SIGNED|UNABLE_TO|INVALID_|PATH_|HOSTNAME_)/

/** All sockets of a pool. */
export interface Sockets {
  /** For `socket` of postgres.js. It must not reject: postgres.js would lose the connection of its pool for ever. */
  open(): Promise<Duplex>
  /** Ends those that were not answered, or had nothing to say, for that long, so that whoever waits on them is told; the pool connects again. */
  endSilent(silentMs: number): void
  /** Nothing is opened any more. */
  close(): void
}

/** Opens sockets to the hosts of `target`, one after the other until one answers, each within `timeoutMs`. */
export function openSockets(target: DatabaseTarget, timeoutMs: number): Sockets {
  /** Since when each is silent: since it was heard last, or since the first that was said on it after that. */
  const silentSince = new Map<Socket, number>()
  let turn = 0
  let closed = false

  async function tryHosts(): Promise<Socket> {
    let reason: unknown
    for (let tries = 0; tries < target.hosts.length; tries++) {
      const host = target.hosts[turn++ % target.hosts.length]!
      try {
        return await openOne(host, target, timeoutMs)
      } catch (error) {
        reason = error
      }
    }
    throw reason
  }

  function watch(socket: Socket): void {
    let owesAnswer = false
    const write = socket.write.bind(socket) as (...args: unknown[]) => boolean
    const note = (owes: boolean) => {
      owesAnswer = owes
      silentSince.set(socket, performance.now())
    }
    note(false)
    // One that has rested is not silent for what it is asked just now.
    socket.write = (...args: unknown[]) => {
      if (!owesAnswer) note(true)
      return write(...args)
    }
    socket.on('data', () => note(false))
    socket.once('close', () => silentSince.delete(socket))
  }

  return {
    async open() {
      try {
        const socket = await tryHosts()
        if (closed) {
          socket.destroy()
          return failing(new ConnectionLost('the pool was closed'))
        }
        watch(socket)
        return socket
      } catch (error) {
        return failing(error as Error)
      }
    },
    endSilent(silentMs) {
      for (const [socket, at] of silentSince) {
        if (performance.now() - at >= silentMs) socket.destroy(new StatementTimeout('Postgres does not answer'))
      }
    },
    close() {
      closed = true
    },
  }
}

async function openOne(host: string, { port, tls }: DatabaseTarget, timeoutMs: number): Promise<Socket> {
  const where = `${host}:${port}`
  const secrets = tls && (await readSecrets(tls))
  const plain = host.startsWith('/') ? connectTcp(`${host}/.s.PGSQL.${port}`) : connectTcp(port, host.replace(/^\[|\]$/g, ''))
  let late: (() => void) | undefined
  const timer = setTimeout(() => late?.(), timeoutMs)
  try {
    return await new Promise<Socket>((resolve, reject) => {
      late = () => reject(Object.assign(new Error(`connect CONNECT_TIMEOUT ${where}`), { code: 'CONNECT_TIMEOUT' }))
      // An error on the lower socket is told by the upper one later; a promise that is settled takes no more.
      plain.on('error', reject).once('close', () => reject(new ConnectionLost(`${where} closed the connection`)))
      plain.once('connect', () => {
        plain.setNoDelay(true)
        if (tls && secrets) secure({ plain, host, where, tls, secrets }).then(resolve, reject)
        else resolve(plain)
      })
    })
  } catch (error) {
    plain.destroy()
    throw error
  } finally {
    clearTimeout(timer)
  }
}

type Securing = { plain: Socket; host: string; where: string; tls: DatabaseTls; secrets: TlsOptions }

/** Asks for TLS, and resolves when the certificate is what `sslmode` wants. Nothing is said to the server before. */
async function secure({ plain, host, where, tls, secrets }: Securing): Promise<Socket> {
  if (!tls.direct && (await askForTls(plain)) !== YES) {
    if (tls.mode === 'prefer') return plain
    throw new TlsRefused(`the Postgres at ${where} offers no TLS, and sslmode=${tls.mode} takes no plain text: turn on ssl in the server`)
  }
  const name = host.replace(/^\[|\]$/g, '')
  const options: TlsOptions = {
    ...secrets,
    socket: plain,
    rejectUnauthorized: tls.mode === 'verify-ca' || tls.mode === 'verify-full',
    checkServerIdentity: (_, certificate: PeerCertificate) =>
      tls.mode === 'verify-full' ? checkServerIdentity(name, certificate) : undefined,
    ...(isIP(name) === 0 && { servername: name }),
    ...(tls.direct && { ALPNProtocols: ['postgresql'] }),
  }
  return new Promise<Socket>((resolve, reject) => {
    const socket = connectTls(options, () => {
      socket.removeListener('error', reject)
      resolve(socket)
    })
    socket.once('error', reject)
  }).catch((error: NodeJS.ErrnoException) => {
    throw explain(error, where, tls)
  })
}

/** One byte: whether the server speaks TLS. An older server answers with an error, which begins with another byte. */
function askForTls(plain: Socket): Promise<number> {
  return new Promise((resolve) => {
    plain.once('data', (chunk: Buffer) => resolve(chunk[0]!))
    plain.write(SSL_REQUEST)
  })
}

async function readSecrets({ caFile, certFile, keyFile, keyPassword }: DatabaseTls): Promise<TlsOptions> {
  const [ca, cert, key] = await Promise.all([caFile, certFile, keyFile].map((path) => path && readFile(path)))
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }), ...(keyPassword && { passphrase: keyPassword }) }
}

/** A connection that broke is one of those that pass; what is wrong with a certificate or a key stays so until somebody changes it. */
function explain(error: NodeJS.ErrnoException, where: string, tls: DatabaseTls): Error {
  const code = error.code ?? ''
  if (/^E[A-Z]+$/.test(code) && code !== 'EPROTO') return error
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return new TlsRefused(`the certificate of the Postgres at ${where} is for another host: ${error.message}`, { cause: error })
  if (!CERTIFICATE_CODES.test(code)) return new TlsRefused(`TLS with the Postgres at ${where} fails: ${error.message}`, { cause: error })
  const by = tls.caFile ? `the authorities in ${tls.caFile}` : 'an authority that Node knows (sslrootcert names others)'
  return new TlsRefused(`the certificate of the Postgres at ${where} is not accepted by ${by}: ${error.message}`, { cause: error })
}

/** What postgres.js takes for a socket: it fails when something is written to it, which is when postgres.js listens. */
function failing(error: Error): Duplex {
  return new Duplex({
    emitClose: false,
    read() {},
    write(_chunk, _encoding, done) {
      done()
      this.destroy(error)
    },
    destroy(reason, done) {
      done(reason)
      setImmediate(() => this.emit('close', true))
    },
  })
}
