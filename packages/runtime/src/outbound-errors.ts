/** Why an outgoing call has no answer; anything else is an error of the network. */

/** The target is not one that workflows may call. `code` is that of the step's error; never retried. */
export class AddressRefused extends Error {
  readonly code = 'BTN_ADDRESS_REFUSED'
  readonly host: string
  readonly reason: string
  constructor(host: string, reason: string) {
    super(`${host} may not be called: ${reason}`)
    this.name = 'AddressRefused'
    this.host = host
    this.reason = reason
  }
}

/** The exchange took longer than `timeoutMs`. */
export class OutboundTimeout extends Error {
  readonly code = 'BTN_TIMEOUT'
  constructor(timeoutMs: number) {
    super(`no complete answer within ${timeoutMs} ms`)
    this.name = 'OutboundTimeout'
  }
}

/** The body is larger than `bytesMax` (after decompression, if it was compressed). */
export class BodyTooLarge extends Error {
  readonly code = 'BTN_HTTP_TOO_LARGE'
  constructor(bytesMax: number) {
    super(`the answer is larger than ${bytesMax} bytes`)
    this.name = 'BodyTooLarge'
  }
}

/** The answer says that it is compressed, and is not. */
export class BodyUnreadable extends Error {
  readonly code = 'BTN_HTTP_RESPONSE'
  constructor(encoding: string, cause: unknown) {
    super(`the answer is not valid ${encoding}`, { cause })
    this.name = 'BodyUnreadable'
  }
}

/** `mayBegin` said no: not a byte of the request was written. */
export class NotBegun extends Error {
  constructor() {
    super('the request was not begun')
    this.name = 'NotBegun'
  }
}

/** Too many redirects, or one where `redirect` is `error`. */
export class RedirectRefused extends Error {
  readonly code = 'BTN_HTTP_RESPONSE'
  constructor(message: string) {
    super(message)
    this.name = 'RedirectRefused'
  }
}
