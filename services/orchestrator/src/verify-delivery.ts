/**
 * Whether a delivery comes from who knows the secret, by the raw body. GitHub: docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries.
 * Stripe: docs.stripe.com/webhooks/signature. Slack: docs.slack.dev/authentication/verifying-requests-from-slack.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { HmacVerify, Verify } from '@baton/contracts'

export interface Delivery {
  headers: IncomingHttpHeaders
  body: Buffer
  /** Milliseconds since 1970, by the clock of Postgres. */
  now: number
}

type Signed = Exclude<Verify, 'none'>

/** Name of the secret that it is verified with; undefined: with none. */
export function secretNameOf(verify: Verify): string | undefined {
  return verify === 'none' ? undefined : Object.values(verify as Record<string, { secret: string }>)[0]!.secret
}

/** Why a delivery is not to be trusted; undefined when it is. */
export function distrust(verify: Signed, secret: string, delivery: Delivery): string | undefined {
  if ('github' in verify) return distrustGithub(secret, delivery)
  if ('stripe' in verify) return distrustStripe(secret, delivery, verify.stripe.toleranceSeconds)
  if ('slack' in verify) return distrustSlack(secret, delivery, verify.slack.toleranceSeconds)
  return distrustHmac(verify.hmac, secret, delivery)
}

function distrustGithub(secret: string, { headers, body }: Delivery): string | undefined {
  const given = oneOf(headers, 'x-hub-signature-256')
  if (given === undefined) return 'the header x-hub-signature-256 is missing'
  const digest = given.startsWith('sha256=') ? given.slice('sha256='.length) : ''
  return isSame(digest, 'hex', createHmac('sha256', secret).update(body).digest()) ? undefined : WRONG
}

/** Several `v1` may stand there, while the secret of an endpoint is being changed. */
function distrustStripe(secret: string, { headers, body, now }: Delivery, toleranceSeconds: number): string | undefined {
  const given = oneOf(headers, 'stripe-signature')
  if (given === undefined) return 'the header stripe-signature is missing'
  const parts = given.split(',').map((part) => part.trim().split('=', 2) as [string, string | undefined])
  const time = parts.find(([name]) => name === 't')?.[1] ?? ''
  const digest = createHmac('sha256', secret).update(`${time}.`).update(body).digest()
  const signatures = parts.filter(([name]) => name === 'v1').map(([, value]) => value ?? '')
  if (!signatures.some((signature) => isSame(signature, 'hex', digest))) return WRONG
  return distrustTime(time, now, toleranceSeconds)
}

function distrustSlack(secret: string, { headers, body, now }: Delivery, toleranceSeconds: number): string | undefined {
  const given = oneOf(headers, 'x-slack-signature')
  const time = oneOf(headers, 'x-slack-request-timestamp')
  if (given === undefined || time === undefined) return 'the headers x-slack-signature and x-slack-request-timestamp are needed'
  const digest = createHmac('sha256', secret).update(`v0:${time}:`).update(body).digest()
  if (!isSame(given.startsWith('v0=') ? given.slice('v0='.length) : '', 'hex', digest)) return WRONG
  return distrustTime(time, now, toleranceSeconds)
}

function distrustHmac(
  { header, algorithm, encoding, prefix }: HmacVerify,
  secret: string,
  { headers, body }: Delivery,
): string | undefined {
  const given = oneOf(headers, header.toLowerCase())
  if (given === undefined) return `the header ${header} is missing`
  if (!given.startsWith(prefix)) return WRONG
  return isSame(given.slice(prefix.length), encoding, createHmac(algorithm, secret).update(body).digest()) ? undefined : WRONG
}

const WRONG = 'the signature does not belong to this body and the secret of the webhook'

function distrustTime(seconds: string, now: number, toleranceSeconds: number): string | undefined {
  const age = /^\d{1,12}$/.test(seconds) ? Math.abs(now / 1_000 - Number(seconds)) : Number.POSITIVE_INFINITY
  return age <= toleranceSeconds ? undefined : `the signature is not from the last ${toleranceSeconds} seconds`
}

/** A header that was sent twice is none: nobody knows which of the two was meant. */
function oneOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : undefined
}

/** How long it takes tells nothing of where they differ. */
function isSame(given: string, encoding: 'hex' | 'base64', digest: Buffer): boolean {
  const bytes = Buffer.from(given, encoding)
  // What decodes to the same bytes but is written otherwise would be another signature of the same body.
  if (bytes.length !== digest.length || bytes.toString(encoding) !== (encoding === 'hex' ? given.toLowerCase() : given)) return false
  return timingSafeEqual(bytes, digest)
}
