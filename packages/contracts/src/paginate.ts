/** How an `http` step reads a list that its service gives page by page. docs/http.md shows each form. */
import { z } from 'zod'

/** Where something stands in the body of an answer: a JSON Pointer (`/meta/next`), or names joined by dots (`meta.next`). */
const BodyPath = z.string().min(1).max(500)
const QueryName = z.string().min(1).max(200)

export const Paginate = z
  .strictObject({
    link: z
      .union([z.literal(true), BodyPath])
      .describe('true: the Link header with rel="next" (RFC 8288); a path: where the URL of the next page stands in the body')
      .optional(),
    cursor: z
      .strictObject({
        path: BodyPath.describe('where the cursor of the next page stands in the body; none, null or an empty text ends the list'),
        param: QueryName.describe('the query parameter, or the key of the body, that takes it'),
        in: z.enum(['query', 'body']).default('query').describe('where the cursor goes'),
      })
      .describe('pages that name the cursor of the next one')
      .optional(),
    page: z
      .strictObject({
        param: QueryName.describe('the query parameter that takes the number'),
        start: z.int().min(0).default(1).describe('number of the first page'),
        size: z
          .strictObject({
            param: QueryName.describe('the query parameter that takes the size'),
            value: z.int().positive().describe('items a page'),
          })
          .describe('sent with every page; a page with fewer items is the last. Without it an empty page ends the list')
          .optional(),
      })
      .describe('pages that are asked for by their number; an empty one ends the list')
      .optional(),
    items: BodyPath.describe('where the list stands in the body; left out: the body is the list').optional(),
    max: z.int().positive().max(100_000).default(100).describe('pages at most'),
    onMax: z
      .enum(['fail', 'stop'])
      .default('fail')
      .describe('when there would be more: fail the step, or give what was read and `more: true`'),
  })
  .refine(
    ({ link, cursor, page }) => [link, cursor, page].filter((way) => way !== undefined).length === 1,
    'give exactly one of link, cursor and page',
  )
export type Paginate = z.infer<typeof Paginate>
