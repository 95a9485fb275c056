/** `baton schedules`, `baton triggers` and `baton events`, against a stub. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { bench } from './bench.ts'

const AT = '2026-03-01T07:30:00.000Z'
const SCHEDULE = {
  name: 'report',
  workflow: 'note',
  cron: '30 7 * * *',
  timezone: 'UTC',
  enabled: true,
  nextAt: AT,
  lastRun: null,
  lastError: null,
}
const HOOK = { name: 'push', type: 'webhook', workflow: 'note', enabled: true, updatedAt: AT, lastError: { message: 'no', at: AT } }
const EVENT = { ...HOOK, name: 'paid', type: 'event', event: 'shop.paid', enabled: false, lastError: null }

t.test('a schedule is made of options, of a file, or of a file with options before it', async (t) => {
  const { home, server, output, baton } = await bench(t, () => ({ status: 201, body: SCHEDULE }))
  const flags = ['--cron', '30 7 * * *', '--workflow', 'note', '--timezone', 'Europe/Berlin', '--catch-up', 'last', '--input', '{"a":1}']
  t.equal(await baton(['schedules', 'put', 'report', ...flags]), 0)
  t.equal(output.out, `report starts note next at ${AT}\n`)
  await writeFile(join(home, 'report.yaml'), 'cron: "@daily"\nworkflow: note\nlabels: { team: a }\n')
  t.equal(await baton(['schedules', 'put', 'report', '--body', '@report.yaml', '--cron', '@hourly', '--disabled', '--json']), 0)
  t.same(JSON.parse(output.out), SCHEDULE)
  t.strictSame(
    server.requests.map(({ method, path, body }) => [method, path, body]),
    [
      [
        'PUT',
        '/api/v1/schedules/report',
        { cron: '30 7 * * *', workflow: 'note', timezone: 'Europe/Berlin', catchUp: 'last', input: { a: 1 } },
      ],
      ['PUT', '/api/v1/schedules/report', { cron: '@hourly', workflow: 'note', labels: { team: 'a' }, enabled: false }],
    ],
  )
  t.equal(await baton(['schedules', 'put', 'report', '--body', '[1]']), 2)
  t.equal(server.requests.length, 2)
})

t.test('schedules and triggers are listed, shown and deleted', async (t) => {
  const { server, output, baton } = await bench(t, ({ method, path }) => {
    if (method === 'DELETE') return { status: 204 }
    if (!path.includes('?')) return { body: path.includes('schedules') ? SCHEDULE : HOOK }
    return { body: { items: path.includes('schedules') ? [SCHEDULE] : [HOOK, EVENT], nextCursor: null } }
  })
  t.equal(await baton(['schedules', 'list']), 0)
  t.match(output.out, /^NAME +WORKFLOW +CRON +ZONE +NEXT +LAST RUN +ERROR\nreport +note +30 7 \* \* \* +UTC +2026-03-01T07:30:00\.000Z +–/)
  t.equal(await baton(['triggers', 'list']), 0)
  t.match(output.out, /push +webhook +note +on .*no\npaid +event shop\.paid +note +off/)
  t.equal(await baton(['schedule', 'get', 'report']), 0)
  t.same(JSON.parse(output.out), SCHEDULE)
  t.equal(await baton(['trigger', 'show', 'push', '--json']), 0)
  t.same(JSON.parse(output.out), HOOK)
  t.equal(await baton(['triggers', 'delete', 'push', 'paid']), 0)
  t.equal(output.out, 'push is deleted\npaid is deleted\n')
  t.equal(server.requests.filter(({ method }) => method === 'DELETE').length, 2)
})

t.test('the address of a webhook is told when it is made and when it is rotated, and not otherwise', async (t) => {
  const { output, baton } = await bench(t, ({ method, body }) => ({
    body: method === 'POST' || (body as { verify?: string }).verify === 'none' ? { ...HOOK, token: 't', url: '/hooks/t' } : HOOK,
  }))
  t.equal(await baton(['triggers', 'put', 'push', '--body', '-'], { stdin: '{"type":"webhook","workflow":"note","verify":"none"}' }), 0)
  t.equal(output.out, 'push starts note; deliveries go to /hooks/t, which is shown this once\n')
  t.equal(await baton(['triggers', 'put', 'push', '--body', '{"type":"webhook","workflow":"note"}']), 0)
  t.equal(output.out, 'push starts note\n')
  t.equal(await baton(['triggers', 'rotate', 'push']), 0)
  t.match(output.out, /push has another address; deliveries go to \/hooks\/t/)
  t.equal(await baton(['triggers', 'put', 'push']), 2)
})

t.test('events are posted one by one from options, or many from a file', async (t) => {
  const { server, output, baton } = await bench(t, () => ({ status: 202, body: { accepted: 1, duplicates: 1 } }))
  t.equal(await baton(['events', 'post', '--type', 'shop.paid', '--subject', 'o-7', '--data', '{"total":250}', '--id', '1']), 0)
  t.equal(output.out, '1 accepted, 1 seen before\n')
  const sent = { specversion: '1.0', id: '1', source: '/cli', type: 'shop.paid', subject: 'o-7', data: { total: 250 } }
  t.strictSame(server.requests[0]?.body, sent)
  t.equal(await baton(['events', 'post', '--body', '-'], { stdin: '[{"id":"2","source":"/shop","type":"x"}]' }), 0)
  t.strictSame(server.requests[1]?.body, [{ specversion: '1.0', id: '2', source: '/shop', type: 'x' }])
  t.equal(await baton(['events', 'post']), 2)
  t.equal(await baton(['events', 'post', '--type', 'x', '--body', '{}']), 2)
  t.equal(server.requests.length, 2)
})
