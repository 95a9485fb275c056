/** Reads a list page by page, within one attempt: its bytes, its time and its room are those of a single call. */
import { type HttpCall, type HttpRequest, idempotencyKeyOf, type Json, type Paginate } from '@baton/contracts'
import { BodyTooLarge, type Outbound, type OutboundAnswer, OutboundTimeout } from '@baton/runtime'
import type { AnswerShare } from './answer-room.ts'
import { itemsOf, requestAfter, requestOfFirst } from './next-page.ts'
import { AnswerUnreadable } from './read-answer.ts'
import { renderRequest } from './render-request.ts'

/** The list goes on behind the last page that may be asked for. */
export class TooManyPages extends Error {
  readonly code = 'BTN_HTTP_PAGES'
  constructor(max: number) {
    super(`the list goes on after ${max} pages`)
    this.name = 'TooManyPages'
  }
}

export interface CallPagesOptions {
  outbound: Pick<Outbound, 'request'>
  share: AnswerShare
  secretHeaders: readonly string[]
  /** Bound on the bytes of all pages together. */
  bytesMax: number
  pagesMax: number
  /** Waits until the host may be asked again; what it takes is not taken from the time of the attempt. */
  pace?: ((call: HttpCall) => Promise<void> | undefined) | undefined
  /** See NotBegun. */
  mayBegin?: (() => boolean) | undefined
  /** The body of a page that is as the step expects; throws else. */
  read(answer: OutboundAnswer): Json
}

export interface Pages {
  /** The answer that held the last page. */
  last: OutboundAnswer
  items: Json[]
  count: number
  /** There would be more (`onMax: stop`). */
  more: boolean
  bytes: number
}

/** All pages. Throws what one call may throw, AnswerUnreadable when a page does not lead on as it says, and TooManyPages. */
export async function callPages(call: HttpCall, request: HttpRequest, paginate: Paginate, options: CallPagesOptions): Promise<Pages> {
  const max = Math.min(paginate.max, options.pagesMax)
  const pages: Pages = { last: undefined as never, items: [], count: 0, more: false, bytes: 0 }
  const asked = new Set<string>()
  let deadline = performance.now() + call.timeoutMs
  for (let next: HttpRequest | undefined = requestOfFirst(request, paginate); next !== undefined; ) {
    const mark = JSON.stringify([next.url, next.query, next.body])
    if (asked.has(mark)) throw new AnswerUnreadable(`page ${pages.count} leads back to a page that was read`)
    if (pages.count === max && paginate.onMax === 'fail') throw new TooManyPages(max)
    if (pages.count === max) return { ...pages, more: true }
    asked.add(mark)
    if (pages.count > 0) deadline += await waited(options.pace?.(call))
    const answer = await sendPage(call, next, pages, deadline, options)
    pages.bytes += answer.body.length
    await within(options.share.grow(pages.bytes), deadline, call.timeoutMs)
    const body = options.read(answer)
    const items = itemsOf(body, paginate.items)
    for (const item of items) pages.items.push(item)
    pages.last = answer
    pages.count++
    next = requestAfter(paginate, { request: next, answer, body, count: items.length, number: pages.count })
  }
  return pages
}

async function sendPage(
  call: HttpCall,
  request: HttpRequest,
  pages: Pages,
  deadline: number,
  options: CallPagesOptions,
): Promise<OutboundAnswer> {
  const { url, ...rendered } = renderRequest(call, request, options.secretHeaders)
  if (pages.count > 0 && !isSafe(request.method)) followOwnKey(rendered.headers, call, pages.count + 1)
  const leftMs = Math.ceil(deadline - performance.now())
  if (leftMs <= 0) throw new OutboundTimeout(call.timeoutMs)
  try {
    return await options.outbound.request(url, {
      ...rendered,
      timeoutMs: leftMs,
      room: (bytes) => options.share.grow(pages.bytes + bytes),
      bytesMax: Math.max(0, options.bytesMax - pages.bytes),
      redirect: request.redirect ?? 'follow',
      mayBegin: pages.count === 0 ? options.mayBegin : undefined,
    })
  } catch (error) {
    // The bounds are on all pages, and so is what is told of them.
    if (error instanceof OutboundTimeout) throw new OutboundTimeout(call.timeoutMs)
    if (error instanceof BodyTooLarge) throw new BodyTooLarge(options.bytesMax)
    throw error
  }
}

function isSafe(method: string): boolean {
  return method === 'GET' || method === 'HEAD'
}

/** A service that remembers keys would answer every POST of a step with the first page. A key that the step wrote stays as it is. */
function followOwnKey(headers: Record<string, string>, call: HttpCall, number: number): void {
  const key = idempotencyKeyOf(call)
  if (headers['idempotency-key'] === key) headers['idempotency-key'] = `${key}/page/${number}`
}

async function waited(pause: Promise<void> | undefined): Promise<number> {
  if (pause === undefined) return 0
  const startedAt = performance.now()
  await pause
  return performance.now() - startedAt
}

async function within(pause: Promise<void> | undefined, deadline: number, timeoutMs: number): Promise<void> {
  if (pause === undefined) return
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new OutboundTimeout(timeoutMs)), Math.max(0, deadline - performance.now()))
  await Promise.race([pause, late.promise]).finally(() => clearTimeout(timer))
}
