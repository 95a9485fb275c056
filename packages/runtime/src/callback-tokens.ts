/**
 * The addresses of callbacks. A token says which generation of which step it is for, and is signed with a key derived from the master key, so
 * that workers make it and the API checks it without asking anybody. Every attempt of a generation brings the same one along.
 */
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'

/** What a callback is for. `runId` is the bare UUID. */
export interface CallbackTarget {
  runId: string
  path: string
  generation: number
}

export interface CallbackTokens {
  sign(target: CallbackTarget): string
  /** What a token is for; undefined unless it was signed with this key. */
  read(token: string): CallbackTarget | undefined
}

/** Of the bytes that are signed: a version, the UUID of the run, the generation, and the path in UTF-8. */
const VERSION = 1
const PATH_AT = 1 + 16 + 4
const DIGEST_BYTES = 32

/** Signs and reads tokens with one master key, any text of high entropy. */
export function createCallbackTokens(masterKey: string): CallbackTokens {
  const key = Buffer.from(hkdfSync('sha256', masterKey, 'baton', 'callbacks v1', 32))
  const digestOf = (said: Buffer) => createHmac('sha256', key).update(said).digest()
  return {
    sign({ runId, path, generation }) {
      const said = Buffer.alloc(PATH_AT + Buffer.byteLength(path))
      said.writeUInt8(VERSION)
      said.write(runId.replaceAll('-', ''), 1, 'hex')
      said.writeUInt32BE(generation, 1 + 16)
      said.write(path, PATH_AT, 'utf8')
      return Buffer.concat([digestOf(said), said]).toString('base64url')
    },
    read(token) {
      const bytes = Buffer.from(token, 'base64url')
      const said = bytes.subarray(DIGEST_BYTES)
      // Written otherwise, the same bytes would be another address of the same step.
      if (said.length <= PATH_AT || said[0] !== VERSION || bytes.toString('base64url') !== token) return undefined
      if (!timingSafeEqual(bytes.subarray(0, DIGEST_BYTES), digestOf(said))) return undefined
      const hex = said.toString('hex', 1, 1 + 16)
      const runId = hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
      return { runId, path: said.toString('utf8', PATH_AT), generation: said.readUInt32BE(1 + 16) }
    },
  }
}
