/** The part of the shop that takes a job, answers at once, and says later what has come of it: by a POST to the address that it was given. */
import { setTimeout as delay } from 'node:timers/promises'

export interface Shipment {
  status: number
  body: unknown
  /** What is done after the answer is out. */
  afterwards?: () => Promise<void>
}

/** It is given up after so many tries, a second apart. */
const TRIES_MAX = 10

/**
 * `POST /shipments {orderId, callback}`: posts `{orderId, tracking}` to `callback`, after it has answered with 202; with `?first=callback` before
 * it answers.
 */
export async function ship(body: unknown, url: URL): Promise<Shipment> {
  const { orderId, callback } = (body ?? {}) as { orderId?: unknown; callback?: unknown }
  if (typeof orderId !== 'string' || typeof callback !== 'string') return { status: 422, body: { error: 'orderId or callback is missing' } }
  const answer = { status: 202, body: { orderId, state: 'accepted' } }
  const tell = () => callBack(callback, { orderId, tracking: `T-${orderId}` })
  if (url.searchParams.get('first') !== 'callback') return { ...answer, afterwards: tell }
  await tell()
  return answer
}

async function callBack(url: string, body: unknown): Promise<void> {
  for (let tries = 1; tries <= TRIES_MAX; tries++) {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }).catch(() => undefined)
    await response?.body?.cancel()
    // Everything else was heard: 409 is what an earlier try gets that was taken.
    if (response && response.status < 500) return
    await delay(1_000)
  }
}
