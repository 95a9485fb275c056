/**
 * A small shop with an HTTP API, for the examples and the demo. It keeps everything in memory, honours Idempotency-Key, and records every
 * call with its times, so that a checker can compare what was called with what a run says.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { charge, echo, reserve, showJob, showReceipt } from './shop-answers.ts'
import { grantToken, listInvoices, listItems, listOrders, showAccount } from './shop-lists.ts'
import { ship } from './shop-shipments.ts'

/** One request that reached the shop. Times are milliseconds since 1970. */
export interface ShopCall {
  method: string
  path: string
  idempotencyKey: string | null
  startedAt: number
  /** null while it is under way, or when the caller went away. */
  endedAt: number | null
  status: number | null
  /** Answered from the record of an earlier call with the same Idempotency-Key. */
  replayed: boolean
}

/** A shop that listens. */
export interface Shop {
  url: string
  calls: readonly ShopCall[]
  close(): Promise<void>
}

interface Refund {
  id: string
  orderId: string
}

interface Answer {
  status: number
  body: unknown
  headers?: Record<string, string>
  replayed?: boolean
  /** What is done after the answer is out. */
  afterwards?: () => Promise<void>
}

const BODY_BYTES_MAX = 64 * 1024
const DELAY_MS_MAX = 60_000
const UNAVAILABLE: Answer = { status: 503, body: { error: 'not now' } }
const TOTALS_EUR: Record<string, number> = { small: 40, big: 250 }

/** Starts a shop; port 0 takes a free one. Rejects when the port is in use. */
export async function startShop(options: { port?: number; host?: string } = {}): Promise<Shop> {
  const calls: ShopCall[] = []
  const refunds = new Map<string, Refund>()
  const server = createServer((request, response) => {
    answerRequest(request, response, calls, refunds).catch((error: Error) => response.destroy(error))
  })
  await listen(server, options.port ?? 0, options.host ?? '127.0.0.1')
  const { port, address } = server.address() as AddressInfo
  return {
    url: `http://${address}:${port}`,
    calls,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** What an order costs: `small` 40 EUR, `big` 250 EUR, an id that ends in digits that many EUR, any other 99 EUR. */
export function totalOf(orderId: string): number {
  const named = TOTALS_EUR[orderId]
  if (named !== undefined) return named
  const digits = /(\d+)$/.exec(orderId)
  return digits ? Number(digits[1]) : 99
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => resolve())
  })
}

async function answerRequest(request: IncomingMessage, response: ServerResponse, calls: ShopCall[], refunds: Map<string, Refund>) {
  const url = new URL(request.url ?? '/', 'http://shop')
  if (url.pathname === '/calls') return send(response, answerCalls(request, url, calls))
  if (url.pathname === '/healthz') return send(response, { status: 200, body: { status: 'ok' } })
  const key = request.headers['idempotency-key']
  const call: ShopCall = {
    method: request.method ?? 'GET',
    path: url.pathname,
    idempotencyKey: typeof key === 'string' ? key : null,
    startedAt: Date.now(),
    endedAt: null,
    status: null,
    replayed: false,
  }
  calls.push(call)
  const delayMs = Math.min(Number(url.searchParams.get('delayMs') ?? 0) || 0, DELAY_MS_MAX)
  if (delayMs > 0) await delay(delayMs)
  const answer = fails(url, call, calls) ? UNAVAILABLE : await answerShop(request, url, call.idempotencyKey, refunds)
  if (response.destroyed) return
  Object.assign(call, { endedAt: Date.now(), status: answer.status, replayed: answer.replayed ?? false })
  send(response, answer)
  await answer.afterwards?.()
}

/** `?failures=n`: the first n answers to an Idempotency-Key are 503. */
function fails(url: URL, call: ShopCall, calls: readonly ShopCall[]): boolean {
  const failures = Number(url.searchParams.get('failures') ?? 0) || 0
  if (failures === 0) return false
  return calls.filter((other) => other.idempotencyKey === call.idempotencyKey && other.status === 503).length < failures
}

async function answerShop(request: IncomingMessage, url: URL, key: string | null, refunds: Map<string, Refund>): Promise<Answer> {
  const [, resource, id, ...rest] = url.pathname.split('/')
  if (resource === 'orders' && id && rest.length === 0 && request.method === 'GET') {
    const orderId = decodeURIComponent(id)
    return { status: 200, body: { id: orderId, total: totalOf(orderId), currency: 'EUR' } }
  }
  if (id === undefined && request.method === 'GET' && resource === 'orders') return listOrders(url, totalOf)
  const text = await readText(request)
  if (resource === 'stock' && id && rest.length === 0 && request.method === 'GET') {
    return { status: 200, body: { item: decodeURIComponent(id), available: totalOf(decodeURIComponent(id)) % 10 } }
  }
  if (resource === 'shipments' && id === undefined && request.method === 'POST') return ship(asJson(text), url)
  if (resource === 'refunds' && id === undefined && request.method === 'POST') return refund(asJson(text), key, refunds)
  return answerOther(request, url, text) ?? { status: 404, body: { error: `nothing at ${request.method} ${url.pathname}` } }
}

/** What shows one thing each that an http step can do. */
function answerOther(request: IncomingMessage, url: URL, text: string): Answer | undefined {
  const { headers, method } = request
  const [, resource, id] = url.pathname.split('/')
  const key = headers['x-api-key']
  switch (id === undefined ? resource : `${resource}/`) {
    case 'account':
      return showAccount(headers.authorization, typeof key === 'string' ? key : url.searchParams.get('key'))
    case 'token':
      return grantToken(headers.authorization, new URLSearchParams(text))
    case 'invoices':
      return listInvoices(method === 'POST' ? (asJson(text) as { after?: string } | undefined)?.after : url.searchParams.get('after'))
    case 'items':
      return listItems(url)
    case 'echo':
      return echo(method ?? 'GET', url, headers, text)
    case 'charges':
      return charge(asJson(text))
    case 'reservations':
    case 'reservations/':
      return reserve(method ?? 'GET', id)
    case 'receipts/':
      return showReceipt(decodeURIComponent(id!))
    case 'moved-orders/':
      return { status: 302, body: undefined, headers: { location: `/orders/${id}` } }
    case 'messages/':
      return { status: 202, body: { taken: true } }
    case 'jobs/':
      return showJob(decodeURIComponent(id!))
    default:
      return undefined
  }
}

/** The same Idempotency-Key gets the same refund, however often it comes. */
function refund(body: unknown, key: string | null, refunds: Map<string, Refund>): Answer {
  const orderId = typeof body === 'object' && body !== null && 'orderId' in body ? body.orderId : undefined
  if (typeof orderId !== 'string' || orderId === '') return { status: 422, body: { error: 'orderId is missing' } }
  const known = key === null ? undefined : refunds.get(key)
  if (known) return { status: 200, body: known, replayed: true }
  const made: Refund = { id: `rf_${refunds.size + 1}`, orderId }
  refunds.set(key ?? made.id, made)
  return { status: 201, body: made }
}

/** GET lists the calls, oldest first (`?path=/refunds` only those); DELETE forgets them. */
function answerCalls(request: IncomingMessage, url: URL, calls: ShopCall[]): Answer {
  if (request.method === 'DELETE') {
    calls.length = 0
    return { status: 204, body: undefined }
  }
  const path = url.searchParams.get('path')
  return { status: 200, body: { items: path === null ? calls : calls.filter((call) => call.path === path) } }
}

/** Empty when there is more than the shop reads. */
async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > BODY_BYTES_MAX) return ''
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function send(response: ServerResponse, answer: Answer): void {
  const isText = answer.headers?.['content-type'] !== undefined
  const text = answer.body === undefined ? '' : isText ? String(answer.body) : JSON.stringify(answer.body)
  response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers, 'content-length': Buffer.byteLength(text) })
  response.end(text)
}
