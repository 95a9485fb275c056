/** The parts of the shop that show what an http step sends, and in which forms it reads an answer. */
import type { IncomingHttpHeaders } from 'node:http'
import type { ListAnswer } from './shop-lists.ts'

/** `/echo`: what was sent: method, query, body, and the headers that begin with `x-`. */
export function echo(method: string, url: URL, headers: IncomingHttpHeaders, text: string): ListAnswer {
  const query: Record<string, string | string[]> = {}
  for (const name of url.searchParams.keys()) {
    const values = url.searchParams.getAll(name)
    query[name] = values.length === 1 ? values[0]! : values
  }
  const own = Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith('x-')))
  const isJson = headers['content-type']?.includes('json') === true
  return { status: 200, body: { method, query, headers: own, body: isJson && text !== '' ? JSON.parse(text) : text } }
}

/** `GET /receipts/{id}`: plain text. */
export function showReceipt(id: string): ListAnswer {
  return { status: 200, body: `Receipt ${id}`, headers: { 'content-type': 'text/plain; charset=utf-8' } }
}

/** How often each job was asked for. */
const asked = new Map<string, number>()
const ASKED_UNTIL_DONE = 3

/** `GET /jobs/{id}`: a job that is done when it is asked for the third time. */
export function showJob(id: string): ListAnswer {
  const times = (asked.get(id) ?? 0) + 1
  asked.set(id, times)
  const isDone = times >= ASKED_UNTIL_DONE
  return { status: 200, body: { id, state: isDone ? 'done' : 'running', ...(isDone ? { result: 42 } : {}) } }
}

/** Reservations that are held, by their id. */
const held = new Set<string>()
let reservations = 0

/** `POST /reservations {what}` holds something, `DELETE /reservations/{id}` gives it back: 404 when it is not held. */
export function reserve(method: string, id: string | undefined): ListAnswer {
  if (method === 'DELETE') {
    return id !== undefined && held.delete(id)
      ? { status: 200, body: { id, state: 'released' } }
      : { status: 404, body: { error: 'not held' } }
  }
  const made = `rs_${++reservations}`
  held.add(made)
  return { status: 201, body: { id: made, state: 'held' } }
}

const CHARGE_MAX = 1_000

/** `POST /charges {amount}`: declined above 1 000. */
export function charge(body: unknown): ListAnswer {
  const amount = typeof body === 'object' && body !== null && 'amount' in body ? Number(body.amount) : Number.NaN
  if (Number.isNaN(amount)) return { status: 422, body: { error: 'amount is missing' } }
  return amount > CHARGE_MAX ? { status: 402, body: { error: 'declined' } } : { status: 201, body: { amount } }
}
