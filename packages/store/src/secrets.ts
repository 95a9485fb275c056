/** Secrets: AES-256-GCM under a key derived from the master key. The store never sees, and never logs, the master key itself. */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto'
import type { Db } from './connect.ts'
import { type Listed, type Page, pageOf, readCursor } from './cursors.ts'

export interface SecretRow {
  name: string
  createdAt: number
  updatedAt: number
}

/** A secret that this master key does not open: it was stored under another one, or its row was tampered with. */
export class SecretUnreadable extends Error {
  override readonly name = 'SecretUnreadable'
  readonly secret: string
  constructor(secret: string, cause?: unknown) {
    super(`the secret ${secret} cannot be opened with this master key`, { cause })
    this.secret = secret
  }
}

export type SecretBox = ReturnType<typeof createSecretBox>

interface SealedRow {
  name: string
  keyId: string
  nonce: Buffer
  ciphertext: Buffer
  tag: Buffer
}

/** What stores and opens secrets with one master key, any text of high entropy. */
export function createSecretBox(masterKey: string) {
  const key = Buffer.from(hkdfSync('sha256', masterKey, 'baton', 'secrets v1', 32))
  const keyId = createHash('sha256').update(key).digest('hex').slice(0, 12)

  function seal(aad: string, value: string) {
    const nonce = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(aad))
    const ciphertext = Buffer.concat([cipher.update(value, 'utf8'), cipher.final()])
    return { nonce, ciphertext, tag: cipher.getAuthTag() }
  }

  function open(aad: string, row: SealedRow): string {
    if (row.keyId !== keyId) throw new SecretUnreadable(row.name)
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, row.nonce).setAAD(Buffer.from(aad)).setAuthTag(row.tag)
      return Buffer.concat([decipher.update(row.ciphertext), decipher.final()]).toString('utf8')
    } catch (error) {
      throw new SecretUnreadable(row.name, error)
    }
  }

  return {
    /** Stores a secret. `created` is false when it was there. */
    async putSecret(db: Db, namespace: string, name: string, value: string): Promise<SecretRow & { created: boolean }> {
      const { nonce, ciphertext, tag } = seal(`${namespace}/${name}`, value)
      const [row] = await db<(SecretRow & { created: boolean })[]>`
        insert into secrets as s (namespace, name, key_id, nonce, ciphertext, tag)
        values (${namespace}, ${name}, ${keyId}, ${nonce}, ${ciphertext}, ${tag})
        on conflict (namespace, name) do update
           set key_id = excluded.key_id, nonce = excluded.nonce, ciphertext = excluded.ciphertext, tag = excluded.tag, updated_at = now()
        returning s.name, s.created_at, s.updated_at, s.xmax = 0 as created`
      return row!
    },

    /** The values of the secrets that exist, by name. Throws SecretUnreadable. */
    async readSecrets(db: Db, namespace: string, names: readonly string[]): Promise<Map<string, string>> {
      if (names.length === 0) return new Map()
      const rows = await db<SealedRow[]>`
        select name, key_id, nonce, ciphertext, tag from secrets where namespace = ${namespace} and name = any(${[...names]}::text[])`
      return new Map(rows.map((row) => [row.name, open(`${namespace}/${row.name}`, row)]))
    },
    listSecrets,
    getSecretInfo,
    deleteSecret,
  }
}

/** Name and time of a secret, never its value. */
export async function getSecretInfo(db: Db, namespace: string, name: string): Promise<SecretRow | undefined> {
  const [row] = await db<SecretRow[]>`select name, created_at, updated_at from secrets where namespace = ${namespace} and name = ${name}`
  return row
}

/** Names of the secrets of the namespace, newest first; never a value. Throws InvalidCursor. */
export async function listSecrets(db: Db, namespace: string, page: Page): Promise<Listed<SecretRow>> {
  const after = readCursor<[number, string]>(page.cursor, ['number', 'text'])
  const beyond = after ? db`and (created_at, name) < (${new Date(after[0])}, ${after[1]})` : db``
  const rows = await db<SecretRow[]>`
    select name, created_at, updated_at from secrets where namespace = ${namespace} ${beyond}
     order by created_at desc, name desc limit ${page.limit + 1}`
  return pageOf(rows, page.limit, (last) => [last.createdAt, last.name])
}

/** False when there is none. */
export async function deleteSecret(db: Db, namespace: string, name: string): Promise<boolean> {
  const { count } = await db`delete from secrets where namespace = ${namespace} and name = ${name}`
  return count > 0
}
