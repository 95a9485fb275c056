/** `http` to its plan: one template that renders to the request of the wire. */
import type { HttpBody, Json } from '@baton/contracts'
import { checkSupported, report, warn } from './compilation.ts'
import { checkSchemaAt } from './compile-shape.ts'
import { compileText, compileValue, foldList, foldObject, type Place } from './compile-texts.ts'
import { escapePointer } from './json-pointers.ts'
import type { HttpPlan, Template } from './plan.ts'

type Body = ReturnType<typeof HttpBody.parse>
type Entry = readonly [string, Template]

/** Compiles the body of `http`. */
export function compileHttp(place: Place, body: Body, pointer: string, raw: Record<string, Json>): HttpPlan {
  const { c } = place
  if (body.callback) checkSupported(c, 'http.callback', `${pointer}/callback`)
  checkPaginate(place, body, pointer)
  checkSchemaAt(c, body.expect?.schema, `${pointer}/expect/schema`)
  checkUrl(place, body.url, `${pointer}/url`)
  const withSecrets: Place = { ...place, secrets: true }
  const mentioned = new Set<string>()
  const open: Place = body.callback ? { ...withSecrets, variables: ['callback'], mentioned } : withSecrets
  const entries: Entry[] = [
    ['method', methodTemplate(place, body.method, `${pointer}/method`)],
    ['url', compileText(open, body.url, `${pointer}/url`)],
    ...(body.headers ? [['headers', compileHeaders(open, body.headers, `${pointer}/headers`)] as const] : []),
    ...(body.query ? [['query', compileQuery(open, body.query, `${pointer}/query`)] as const] : []),
    ...(raw.body === undefined ? [] : [['body', compileValue(open, raw.body, `${pointer}/body`)] as const]),
    ...(body.auth ? [['auth', compileAuth(withSecrets, body.auth, `${pointer}/auth`)] as const] : []),
  ]
  if (body.callback && mentioned.size === 0) warn(c, `${pointer}/callback`, NOBODY_IS_TOLD)
  return {
    kind: 'http',
    request: foldObject(entries),
    ...expectOf(body),
    response: body.response,
    ...(body.maxBytes === undefined ? {} : { bytesMax: body.maxBytes }),
    ...(body.redirect === undefined ? {} : { redirect: redirectOf(body.redirect) }),
    callback: body.callback ?? false,
    ...(body.paginate === undefined ? {} : { paginate: body.paginate }),
  }
}

const NOBODY_IS_TOLD =
  'the step waits for a callback, but nothing of its request mentions ${{ callback.url }}: nobody is told where to post it'

function checkUrl({ c }: Place, url: string, pointer: string): void {
  if (!/^(https?:\/\/|\$\{\{)/i.test(url)) report(c, pointer, 'must begin with http:// or https://')
}

/** Pages are lists of JSON; a callback belongs to one call. */
function checkPaginate({ c }: Place, { paginate, response, callback }: Body, pointer: string): void {
  if (paginate && callback) report(c, `${pointer}/callback`, 'a step with paginate makes several calls: none of them can be called back')
  if (paginate && response !== 'auto' && response !== 'json') report(c, `${pointer}/response`, 'with paginate the answer is read as JSON')
}

function methodTemplate(place: Place, method: string, pointer: string): Template {
  return method.includes('${{') ? compileText(place, method, pointer) : { type: 'literal', value: method.toUpperCase() }
}

function scalarText(place: Place, value: string | number | boolean, pointer: string): Template {
  return typeof value === 'string' ? compileText(place, value, pointer) : { type: 'literal', value: String(value) }
}

function compileHeaders(place: Place, headers: NonNullable<Body['headers']>, pointer: string): Template {
  return foldObject(
    Object.entries(headers).map(([name, value]) => [name, headerText(place, name, value, `${pointer}/${escapePointer(name)}`)]),
  )
}

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

function headerText(place: Place, name: string, value: string | number | boolean, pointer: string): Template {
  if (!HEADER_NAME.test(name)) report(place.c, pointer, `${JSON.stringify(name)} is not a header name`, { of: 'key' })
  return scalarText(place, value, pointer)
}

function compileQuery(place: Place, query: NonNullable<Body['query']>, pointer: string): Template {
  return foldObject(
    Object.entries(query).map(([name, value]) => {
      const at = `${pointer}/${escapePointer(name)}`
      return [
        name,
        Array.isArray(value) ? foldList(value.map((item, i) => scalarText(place, item, `${at}/${i}`))) : scalarText(place, value, at),
      ]
    }),
  )
}

function compileAuth(place: Place, auth: NonNullable<Body['auth']>, pointer: string): Template {
  const text = (value: string, at: string) => compileText(place, value, `${pointer}/${at}`)
  const literal = (value: string): Template => ({ type: 'literal', value })
  if ('bearer' in auth) return foldObject([entry('type', literal('bearer')), entry('token', text(auth.bearer, 'bearer'))])
  if ('basic' in auth) {
    const { username, password } = auth.basic
    const user = text(username, 'basic/username')
    return foldObject([entry('type', literal('basic')), entry('username', user), entry('password', text(password, 'basic/password'))])
  }
  if ('apiKey' in auth) {
    const { in: where, name, value } = auth.apiKey
    const secret = text(value, 'apiKey/value')
    return foldObject([entry('type', literal('apiKey')), entry('in', literal(where)), entry('name', literal(name)), entry('value', secret)])
  }
  const { clientAuth, ...texts } = auth.oauth2
  checkUrl(place, texts.tokenUrl, `${pointer}/oauth2/tokenUrl`)
  const fields = Object.entries(texts).map(([key, value]) => entry(key, text(value, `oauth2/${key}`)))
  return foldObject([entry('type', literal('oauth2')), ...fields, entry('clientAuth', literal(clientAuth))])
}

function entry(key: string, template: Template): Entry {
  return [key, template]
}

function expectOf(body: Body): Pick<HttpPlan, 'expect'> {
  if (!body.expect) return {}
  const { status, schema } = body.expect
  const statuses = status === undefined ? undefined : [status].flat().map(String)
  return { expect: { ...(statuses ? { status: statuses } : {}), ...(schema === undefined ? {} : { schema }) } }
}

function redirectOf(redirect: NonNullable<Body['redirect']>): NonNullable<HttpPlan['redirect']> {
  if (typeof redirect === 'string') return redirect
  return redirect ? 'follow' : 'manual'
}
