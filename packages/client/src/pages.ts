/** Lists that come in pages. */
import type { Send } from './http.ts'

/** One page of a list. */
export interface PageOf<T> {
  items: T[]
  nextCursor: string | null
}

/** Reads a list page by page, as far as its reader goes. */
export async function* readPages<T>(
  send: Send,
  path: string,
  query: Record<string, string | number | readonly string[] | undefined>,
  signal?: AbortSignal,
): AsyncGenerator<T, void, undefined> {
  let cursor: string | undefined
  do {
    const page: PageOf<T> = await send({ method: 'GET', path, query: { ...query, cursor }, ...(signal === undefined ? {} : { signal }) })
    yield* page.items
    cursor = page.nextCursor ?? undefined
  } while (cursor !== undefined)
}
