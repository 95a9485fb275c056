import type { Approval, Json } from '@baton/contracts'
import { test } from 'tap'
import { readChannels, secretsIn } from '../src/read-channels.ts'
import { linkTo, renderMessage } from '../src/render-message.ts'

const approval: Approval = {
  id: 'apr_0192f000-0000-7000-8000-000000000001',
  run: 'run_0192f000-0000-7000-8000-000000000002',
  step: 'review',
  status: 'pending',
  title: 'Refund 250 EUR to <!channel> & co?',
  description: 'Order **big**',
  data: { secretive: true },
  form: null,
  options: [
    { id: 'approve', approves: true },
    { id: 'reject', rejects: true },
  ],
  assignees: ['role:operator'],
  quorum: 1,
  decisions: [],
  decision: null,
  createdAt: '2026-01-01T00:00:00.000Z',
  deadline: '2026-01-02T00:00:00.000Z',
}

test('secrets are put into their slots and nowhere else', (t) => {
  const notify: Json = [
    { webhook: { url: '', headers: { authorization: '', 'x-a/b': '' } } },
    { slack: { url: 'https://hooks.example/x' } },
  ]
  const slots = [
    { pointer: '/0/webhook/url', parts: ['https://example.com/', { secret: 'HOOK' }] },
    { pointer: '/0/webhook/headers/authorization', parts: ['Bearer ', { secret: 'TOKEN' }] },
    { pointer: '/0/webhook/headers/x-a~1b', parts: [{ secret: 'TOKEN' }] },
  ]
  t.same(secretsIn(slots), ['HOOK', 'TOKEN'])
  const channels = readChannels(
    notify,
    slots,
    new Map([
      ['HOOK', 'h1'],
      ['TOKEN', 't1'],
    ]),
  )
  t.same(channels[0], { kind: 'webhook', url: 'https://example.com/h1', headers: { authorization: 'Bearer t1', 'x-a/b': 't1' } })
  t.match(notify, [{ webhook: { url: '' } }, {}], 'the row is not changed')
  t.end()
})

test('a channel that cannot be read keeps its place', (t) => {
  const kinds = readChannels(
    [{ pager: {} }, { email: { to: 'a@example.com' } }, { webhook: { url: 'https://example.com' } }],
    null,
    new Map(),
  )
  t.same(
    kinds.map((channel) => channel.kind),
    ['unreadable', 'email', 'webhook'],
  )
  t.equal(renderMessage(kinds[1]!, approval, ''), undefined)
  t.end()
})

test('a webhook is told what is asked, of whom, until when and where', (t) => {
  const link = linkTo('https://baton.example/', approval)
  const message = renderMessage({ kind: 'webhook', url: 'https://example.com', headers: { 'X-Team': 7 } }, approval, link)!
  t.same(message.headers, { 'x-team': '7' })
  const { id, run, step, title, description, assignees, deadline, options } = approval
  t.same(message.body, {
    type: 'dev.baton.approval.opened',
    approval: { id, run, step, title, description, assignees, deadline, options },
    link: `https://baton.example/api/v1/approvals/${id}`,
  })
  t.end()
})

test('a title cannot ring the bell of a whole Slack channel', (t) => {
  const message = renderMessage(
    { kind: 'slack', url: 'https://example.com' },
    { ...approval, description: 'x'.repeat(9_000) },
    'https://l',
  )!
  const text = JSON.stringify(message.body)
  t.notMatch(text, '<!channel>')
  t.match(text, '&lt;!channel&gt;')
  const section = (message.body as { blocks: { text: { text: string } }[] }).blocks[0]!.text.text
  t.ok(section.length < 3_000, `${section.length} characters`)
  t.end()
})
