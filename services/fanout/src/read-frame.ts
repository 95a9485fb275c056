/** Frames as clients send them: parsed, or the reason why not. */
import { ClientFrame } from '@baton/contracts'
import { parseContent } from '@baton/runtime'
import type { RawData } from 'ws'

/** A frame, or what is wrong with it. */
export type ReadFrame = { frame: ClientFrame } | { wrong: string }

/** Reads a frame; never throws. `bytesMax` bounds what is parsed at all. */
export function readFrame(data: RawData, isBinary: boolean, bytesMax: number): ReadFrame {
  if (isBinary) return { wrong: 'frames are JSON text' }
  const bytes = Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as Buffer)
  if (bytes.length > bytesMax) return { wrong: `a frame may have ${bytesMax} bytes (FANOUT_FRAME_BYTES_MAX), this one has ${bytes.length}` }
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch {
    return { wrong: 'not JSON' }
  }
  const parsed = parseContent(ClientFrame, value)
  if (parsed.success) return { frame: parsed.data }
  const issue = parsed.error.issues[0]
  const place = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.join('.')}: `
  return { wrong: `${place}${issue?.message ?? 'not a frame'}` }
}
