import type { HttpCall } from '@baton/contracts'
import type { CallbackTokens } from '@baton/runtime'
import type { CallbackAddress } from './call-http.ts'

/** Addresses for callbacks under `publicUrl`: the same for every attempt of a generation, by whichever worker it is made. */
export function createCallbackAddresses(publicUrl: string, tokens: CallbackTokens): (call: HttpCall) => CallbackAddress {
  const base = `${publicUrl.replace(/\/+$/, '')}/callbacks/`
  return ({ runId, path, generation }) => {
    const token = tokens.sign({ runId, path, generation })
    return { url: base + token, token }
  }
}
