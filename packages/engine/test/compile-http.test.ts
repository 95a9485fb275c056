/** What of an `http` step stands in its plan, and what is told when it is saved. */
import { compile, parseDefinition } from '@baton/engine'
import t from 'tap'

function compiled(http: string) {
  return compile(parseDefinition(`steps:\n  a:\n    http: ${http}\n`, 'yaml').value)
}

t.test('pages are read by link, cursor or number', async (t) => {
  const planOf = (paginate: string) => {
    const { plan, errors } = compiled(`{ url: "https://x", paginate: ${paginate} }`)
    t.strictSame(errors, [], paginate)
    return (plan!.root.steps[0]!.body as { paginate?: unknown }).paginate
  }
  t.strictSame(planOf('{ link: true }'), { link: true, max: 100, onMax: 'fail' })
  t.strictSame(planOf('{ link: next, items: results, max: 3, onMax: stop }'), { link: 'next', items: 'results', max: 3, onMax: 'stop' })
  t.match(planOf('{ cursor: { path: /meta/next, param: after } }'), { cursor: { path: '/meta/next', param: 'after', in: 'query' } })
  t.match(planOf('{ page: { param: page, size: { param: size, value: 50 } } }'), { page: { start: 1, size: { value: 50 } } })
})

t.test('a mistake in paginate and auth is told at its place', async (t) => {
  const wrong: [http: string, place: string][] = [
    ['{ url: "https://x", paginate: {} }', '/steps/a/http/paginate'],
    ['{ url: "https://x", paginate: { link: true, page: { param: p } } }', '/steps/a/http/paginate'],
    ['{ url: "https://x", paginate: { link: true, max: 0 } }', '/steps/a/http/paginate/max'],
    ['{ url: "https://x", paginate: { cursor: { path: next } } }', '/steps/a/http/paginate/cursor/param'],
    ['{ url: "https://x", response: text, paginate: { link: true } }', '/steps/a/http/response'],
    ['{ url: "https://x", auth: { oauth2: { tokenUrl: "ftp://x", clientId: a, clientSecret: b } } }', '/steps/a/http/auth/oauth2/tokenUrl'],
  ]
  for (const [http, place] of wrong) {
    const { errors } = compiled(http)
    t.ok(
      errors.some(({ pointer }) => pointer === place),
      `${http}: ${JSON.stringify(errors)}`,
    )
  }
})

t.test('the credentials of a client are texts of the step, and its secret stays a secret', async (t) => {
  const { plan, errors } = compiled(
    '{ url: "https://x", auth: { oauth2: { tokenUrl: "https://x/${{ input.t }}", clientId: a, clientSecret: "${{ secrets.S }}", scope: b } } }',
  )
  t.strictSame(errors, [])
  t.match(JSON.stringify(plan!.root.steps[0]!.body), /"clientSecret",\{"type":"secret","parts":\[\{"secret":"S"\}\]\}/)
  t.match(JSON.stringify(plan!.root.steps[0]!.body), /"clientAuth",\{"type":"literal","value":"basic"\}/)
})

t.test('a compensation that waits for a callback must bound its wait, unless it was saved before that was asked', (t) => {
  const definition = (more: object) => ({
    steps: { a: { set: {}, compensate: { http: { url: 'https://x?to=${{ callback.url }}', callback: true }, ...more } } },
  })
  t.match(compile(definition({})).errors, [{ pointer: '/steps/a/compensate/timeout', message: /is required.*timeout: 24h/ }])
  t.strictSame(compile(definition({ timeout: '24h' })).errors, [])
  t.strictSame(compile(definition({}), { stored: true }).errors, [])
  t.end()
})

t.test('a step with a callback may mention its address where it can be told, and is warned when it does not', async (t) => {
  t.strictSame(compiled('{ url: "https://x?to=${{ callback.url }}", callback: true }').warnings, [])
  t.strictSame(compiled('{ url: "https://x", callback: true, body: "${{ {\'to\': callback.url} }}" }').errors, [])
  t.match(compiled('{ url: "https://x", callback: true }').warnings, [{ pointer: '/steps/a/http/callback', message: /nobody is told/ }])
  t.match(compiled('{ url: "https://x", callback: true, paginate: { link: true } }').errors, [{ pointer: '/steps/a/http/callback' }])
  t.match(compiled('{ url: "https://x", callback: true, auth: { bearer: "${{ callback.url }}" } }').errors, [
    { pointer: '/steps/a/http/auth/bearer', code: 'BTN_EXPRESSION' },
  ])
  t.match(compiled('{ url: "https://x?to=${{ callback.url }}" }').errors, [{ message: /only in a http step with callback: true/ }])
})
