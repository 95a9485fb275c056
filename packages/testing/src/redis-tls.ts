import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { launchRedis, redisFolder } from './launch-redis.ts'
import type { Teardown } from './test-database.ts'

/** A Redis that speaks TLS alone and asks for a password, and for a certificate where it was told to. */
export interface TlsRedis {
  /** Where it listens, without a login and without parameters: `127.0.0.1:port`. */
  address: string
  password: string
  /** Paths: of the CA that it is signed by, of another one, and of a certificate for clients. */
  ca: string
  otherCa: string
  cert: string
  key: string
}

/** Starts it with a CA of its own, made by openssl; it ends with the test. */
export async function tlsRedis(t: Teardown, options: { clientCertificates?: boolean } = {}): Promise<TlsRedis> {
  const folder = redisFolder(t)
  const password = 'not-to-be-guessed'
  const ca = makeCa(folder, 'ca')
  const otherCa = makeCa(folder, 'other-ca')
  const server = sign(folder, 'server', ca)
  const client = sign(folder, 'client', ca)
  const { port } = await launchRedis(t, folder, (port) => [
    'port 0',
    `tls-port ${port}`,
    `tls-cert-file ${server.cert}`,
    `tls-key-file ${server.key}`,
    `tls-ca-cert-file ${ca.cert}`,
    `tls-auth-clients ${options.clientCertificates ? 'yes' : 'no'}`,
    `requirepass ${password}`,
    'save ""',
    'maxmemory-policy noeviction',
  ])
  return { address: `127.0.0.1:${port}`, password, ca: ca.cert, otherCa: otherCa.cert, ...client }
}

interface Pair {
  cert: string
  key: string
}

function makeCa(folder: string, name: string): Pair {
  const pair = filesOf(folder, name)
  const subject = ['-subj', `/CN=${name}`, '-days', '2', '-nodes']
  openssl(['req', '-x509', '-newkey', 'rsa:2048', '-keyout', pair.key, '-out', pair.cert, ...subject])
  return pair
}

function sign(folder: string, name: string, ca: Pair): Pair {
  const pair = filesOf(folder, name)
  const request = join(folder, `${name}.csr`)
  const extensions = join(folder, `${name}.ext`)
  writeFileSync(extensions, 'subjectAltName = IP:127.0.0.1, DNS:localhost\n')
  openssl(['req', '-newkey', 'rsa:2048', '-keyout', pair.key, '-out', request, '-subj', `/CN=${name}`, '-nodes'])
  const signing = ['-CA', ca.cert, '-CAkey', ca.key, '-CAcreateserial', '-days', '2', '-extfile', extensions]
  openssl(['x509', '-req', '-in', request, '-out', pair.cert, ...signing])
  return pair
}

const filesOf = (folder: string, name: string): Pair => ({ cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) })

function openssl(args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}
