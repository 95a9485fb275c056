/** JSON out of raw bytes, for routes that take their body as it came. */
import type { Json } from '@baton/contracts'
import { malformedJson, problem } from '@baton/runtime'

/** The value. Throws 400 with the place where parsing stopped, also for what is not UTF-8. */
export function parseJson(body: Buffer): Json {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch (cause) {
    throw problem('BTN_MALFORMED_BODY', 'the body is not UTF-8', { errors: [{ pointer: '', message: 'is not UTF-8' }], cause })
  }
  try {
    return JSON.parse(text) as Json
  } catch (error) {
    throw malformedJson(text, error as Error)
  }
}
