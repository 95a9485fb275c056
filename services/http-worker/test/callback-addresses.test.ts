/** The address that a call brings along for its callback. */
import type { Json } from '@baton/contracts'
import { createCallbackTokens } from '@baton/runtime'
import { stubServer } from '@baton/testing'
import t from 'tap'
import { caller, callOf, outputOf } from './calls.ts'

t.test('the address for a callback is that of the generation, and is redacted where it is echoed', async (t) => {
  const stub = await stubServer(t, ({ path, body }) => ({
    status: path.startsWith('/fails') ? 400 : 202,
    body: { echo: body as Json, path },
  }))
  const { make } = caller(t)
  const secrets = [
    { pointer: '/body/to', parts: [{ callback: 'url' as const }] },
    { pointer: '/query/to/0', parts: [{ callback: 'url' as const }, '/done'] },
  ]
  const call = callOf(
    { method: 'POST', url: stub.url, query: { to: [''] }, body: { to: '${{ callback.url }}' }, secrets },
    { generation: 3 },
  )
  const output = outputOf(await make(call))
  const { to } = stub.requests[0]!.body as { to: string }
  const token = to.replace('https://baton.example/callbacks/', '')
  t.same(createCallbackTokens('master').read(token), { runId: call.runId, path: call.path, generation: 3 })
  t.equal(new URL(stub.requests[0]!.path, stub.url).searchParams.get('to'), `${to}/done`)
  t.match(output.body, { echo: { to: 'https://baton.example/callbacks/[redacted]' } })
  t.notOk(JSON.stringify(output).includes(token))
  await make({ ...call, attempt: 2 })
  t.match(stub.requests[1]!.body, { to }, 'every attempt brings the same')
  const failure = await make({ ...call, request: { ...call.request, url: `${stub.url}/fails` } })
  t.match(failure, { status: 'failed', error: { status: 400 } })
  t.notOk(JSON.stringify(failure).includes(token))
})
