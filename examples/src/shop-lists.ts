/** The parts of the shop that show how lists are read page by page, and what an access token is for. */
import { createHash } from 'node:crypto'

/** What a part of the shop answers. */
export interface ListAnswer {
  status: number
  body: unknown
  headers?: Record<string, string>
}

/** The client that may ask for tokens; its secret is no secret. */
export const SHOP_CLIENT = { id: 'demo', secret: 'demo-secret' }

const ORDER_IDS = ['A-10', 'A-20', 'A-30', 'A-40', 'A-50']
const INVOICE_IDS = ['I-1', 'I-2', 'I-3', 'I-4', 'I-5']
const ITEMS = ['apple', 'bread', 'cheese', 'dates', 'eggs']
const PAGE_SIZE = 2
const BASIC = `Basic ${Buffer.from(`${SHOP_CLIENT.id}:${SHOP_CLIENT.secret}`).toString('base64')}`
/** What each token that was given is good for. */
const scopes = new Map<string, string>()

/** `GET /orders?page=1`: two orders a page. The next page is told by the Link header and, as `next`, in the body. */
export function listOrders(url: URL, totalOf: (id: string) => number): ListAnswer {
  const page = Math.max(1, Number(url.searchParams.get('page') ?? 1) || 1)
  const orders = ORDER_IDS.slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE).map((id) => ({ id, total: totalOf(id) }))
  const next = page * PAGE_SIZE < ORDER_IDS.length ? `/orders?page=${page + 1}` : null
  return { status: 200, body: { orders, next }, ...(next === null ? {} : { headers: { link: `<${next}>; rel="next"` } }) }
}

/** `GET /invoices?after=I-2`, or `POST /invoices {after}`: two a page, and where the next page begins. */
export function listInvoices(after: unknown): ListAnswer {
  const start = INVOICE_IDS.indexOf(String(after)) + 1
  const ids = INVOICE_IDS.slice(start, start + PAGE_SIZE)
  const next = start + PAGE_SIZE < INVOICE_IDS.length ? ids.at(-1) : null
  return { status: 200, body: { data: ids.map((id) => ({ id })), meta: { next } } }
}

/** `GET /items?page=0&size=2`: a bare list; pages count from 0. */
export function listItems(url: URL): ListAnswer {
  const page = Number(url.searchParams.get('page')) || 0
  const size = Number(url.searchParams.get('size')) || PAGE_SIZE
  return { status: 200, body: ITEMS.slice(page * size, (page + 1) * size) }
}

/** `POST /token`: client credentials (RFC 6749 §4.4), the client shown by Basic authorization or in the form. */
export function grantToken(authorization: string | undefined, form: URLSearchParams): ListAnswer {
  const isShown = authorization === BASIC || (form.get('client_id') === SHOP_CLIENT.id && form.get('client_secret') === SHOP_CLIENT.secret)
  if (!isShown) return { status: 401, body: { error: 'invalid_client' } }
  const scope = [form.get('scope'), form.get('audience')].filter((part) => part !== null).join(' at ')
  const token = createHash('sha256').update(`shop ${scope}`).digest('base64url')
  scopes.set(token, scope)
  return { status: 200, body: { access_token: token, token_type: 'Bearer', expires_in: 3_600 } }
}

/** `GET /account`: for whoever shows a token that was given, or the client's secret as a token, a password or a key. */
export function showAccount(authorization: string | undefined, key: string | null): ListAnswer {
  const token = authorization?.replace(/^Bearer /, '') ?? ''
  const isShown = authorization === BASIC || token === SHOP_CLIENT.secret || key === SHOP_CLIENT.secret
  const scope = scopes.get(token)
  if (!isShown && scope === undefined) return { status: 401, body: { error: 'invalid_token' } }
  return { status: 200, body: { owner: SHOP_CLIENT.id, balance: 1_250, ...(scope ? { scope } : {}) } }
}
