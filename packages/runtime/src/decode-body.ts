import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib'
import { BodyTooLarge, BodyUnreadable } from './outbound-errors.ts'

const DECODERS: Readonly<Record<string, (body: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>>> = {
  gzip: promisify(gunzip) as never,
  'x-gzip': promisify(gunzip) as never,
  deflate: promisify(inflate) as never,
  br: promisify(brotliDecompress) as never,
  zstd: promisify(zstdDecompress) as never,
}

/** Undoes content-encoding, which we never ask for but some servers send. Unknown encodings stay as they are; the bound holds after decoding. */
export async function decodeBody(body: Buffer, encoding: string, bytesMax: number): Promise<Buffer> {
  const names = encoding
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '' && name !== 'identity')
  if (names.some((name) => !DECODERS[name])) return body
  let decoded = body
  for (const name of names.reverse()) {
    try {
      decoded = await DECODERS[name]!(decoded, { maxOutputLength: bytesMax })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw new BodyTooLarge(bytesMax)
      throw new BodyUnreadable(name, error)
    }
  }
  return decoded
}
