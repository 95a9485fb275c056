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
const PAGE_SIZE = 2
const TOKEN = createHash('sha256').update('shop').digest('base64url')

/** `GET /orders?page=1`: two orders a page. The next page is told by the Link header and, as `next`, in the body. */
export function listOrders(url: URL, totalOf: (id: string) => number): ListAnswer {
  const page = Math.max(1, Number(url.searchParams.get('page') ?? 1) || 1)
  const orders = ORDER_IDS.slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE).map((id) => ({ id, total: totalOf(id) }))
  const next = page * PAGE_SIZE < ORDER_IDS.length ? `/orders?page=${page + 1}` : null
  return { status: 200, body: { orders, next }, ...(next === null ? {} : { headers: { link: `<${next}>; rel="next"` } }) }
}

/** `POST /token`: client credentials (RFC 6749 §4.4), the client shown by Basic authorization. */
export function grantToken(authorization: string | undefined): ListAnswer {
  const expected = `Basic ${Buffer.from(`${SHOP_CLIENT.id}:${SHOP_CLIENT.secret}`).toString('base64')}`
  if (authorization !== expected) return { status: 401, body: { error: 'invalid_client' } }
  return { status: 200, body: { access_token: TOKEN, token_type: 'Bearer', expires_in: 3_600 } }
}

/** `GET /account`: for whoever shows a token. */
export function showAccount(authorization: string | undefined): ListAnswer {
  if (authorization !== `Bearer ${TOKEN}`) return { status: 401, body: { error: 'invalid_token' } }
  return { status: 200, body: { owner: SHOP_CLIENT.id, balance: 1_250 } }
}
