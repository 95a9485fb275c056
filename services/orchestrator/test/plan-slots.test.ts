import type { CatchUp } from '@baton/contracts'
import t from 'tap'
import { type CronInvalid, slotsOf } from '../src/cron-slots.ts'
import { planSlots } from '../src/plan-slots.ts'

const at = (time: string) => Date.parse(`2027-01-01T${time}Z`)
const time = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString().slice(11, 19))
const iso = (ms: number | null) => new Date(ms!).toISOString().replace('.000', '')

/** A slot each two seconds; the next one is at 10:00:00. */
function plan(catchUp: CatchUp, now: string, more: { since?: string; catchUpMax?: number; fireMax?: number } = {}) {
  const { since = '00:00:00', ...limits } = more
  const slots = slotsOf('*/2 * * * * *', 'UTC')
  const wanted = {
    slots,
    catchUp,
    nextAt: at('10:00:00'),
    now: at(now),
    since: at(since),
    lateMsMax: 5_000,
    catchUpMax: 1_000,
    fireMax: 200,
  }
  const { fire, dropped, nextAt } = planSlots({ ...wanted, ...limits })
  return { fire: fire.map(time), dropped, nextAt: time(nextAt) }
}

t.test('a slot in time is fired whatever the policy, also a late one', async (t) => {
  for (const policy of ['skip', 'last', 'all'] as const) {
    t.same(plan(policy, '10:00:00'), { fire: ['10:00:00'], dropped: 0, nextAt: '10:00:02' }, policy)
    t.same(plan(policy, '10:00:03.500'), { fire: ['10:00:00', '10:00:02'], dropped: 0, nextAt: '10:00:04' }, policy)
  }
})

t.test('slots that came while nobody watched are missed, and the policy says what becomes of them', async (t) => {
  const since = '10:00:09.100'
  const fives = ['10:00:00', '10:00:02', '10:00:04', '10:00:06', '10:00:08']
  t.same(plan('skip', '10:00:09.200', { since }), { fire: [], dropped: 5, nextAt: '10:00:10' })
  t.same(plan('last', '10:00:09.200', { since }), { fire: ['10:00:08'], dropped: 4, nextAt: '10:00:10' })
  t.same(plan('all', '10:00:09.200', { since }), { fire: fives, dropped: 0, nextAt: '10:00:10' })
  t.same(plan('skip', '10:00:10', { since }), { fire: ['10:00:10'], dropped: 5, nextAt: '10:00:12' }, 'one in time among them')
  t.same(plan('last', '10:00:10', { since }), { fire: ['10:00:08', '10:00:10'], dropped: 4, nextAt: '10:00:12' })
})

t.test('slots that are too late are missed although somebody watched: a process that hung', async (t) => {
  t.same(plan('skip', '10:00:20'), { fire: ['10:00:16', '10:00:18', '10:00:20'], dropped: 8, nextAt: '10:00:22' })
  t.same(plan('last', '10:00:20').fire, ['10:00:14', '10:00:16', '10:00:18', '10:00:20'])
  t.equal(plan('all', '10:00:20').fire.length, 11)
})

t.test('all makes up for the newest slots up to its bound, a part at a time and in order', async (t) => {
  const first = plan('all', '12:00:00', { since: '12:00:00', catchUpMax: 5, fireMax: 3 })
  t.same(first, { fire: ['11:59:52', '11:59:54', '11:59:56'], dropped: 5, nextAt: '11:59:58' })
  t.same(plan('all', '10:00:09', { since: '10:00:09', fireMax: 2 }), { fire: ['10:00:00', '10:00:02'], dropped: 0, nextAt: '10:00:04' })
  t.same(plan('last', '12:00:00', { since: '12:00:01', catchUpMax: 5 }).fire, ['12:00:00'])
})

function next(cron: string, zone: string, after: string, count: number): string[] {
  const slots = slotsOf(cron, zone)
  const found: string[] = []
  for (let slot = slots.next(Date.parse(after)); slot !== null && found.length < count; slot = slots.next(slot)) found.push(iso(slot))
  return found
}

t.test('a zone has its own days: the hour that is skipped, and the one that comes twice', async (t) => {
  t.same(next('30 2 * * *', 'Europe/Berlin', '2027-03-27T12:00:00Z', 2), ['2027-03-28T01:00:00Z', '2027-03-29T00:30:00Z'])
  t.same(next('0 30 2 * * *', 'Europe/Berlin', '2027-10-30T12:00:00Z', 2), ['2027-10-31T00:30:00Z', '2027-11-01T01:30:00Z'])
  t.same(next('*/30 * * * *', 'Europe/Berlin', '2027-10-31T00:10:00Z', 4), [
    '2027-10-31T00:30:00Z',
    '2027-10-31T01:00:00Z',
    '2027-10-31T01:30:00Z',
    '2027-10-31T02:00:00Z',
  ])
  t.same(next('*/30 * * * *', 'Europe/Berlin', '2027-03-28T00:10:00Z', 3), [
    '2027-03-28T00:30:00Z',
    '2027-03-28T01:00:00Z',
    '2027-03-28T01:30:00Z',
  ])
  t.same(next('0 9 * * MON-FRI', 'America/New_York', '2027-03-12T20:00:00Z', 2), ['2027-03-15T13:00:00Z', '2027-03-16T13:00:00Z'])
})

t.test('patterns of five and six fields, names, ranges, steps and nicknames are read', async (t) => {
  t.same(next('15,45 8-10/2 * JAN,JUL *', 'UTC', '2027-01-01T00:00:00Z', 3), [
    '2027-01-01T08:15:00Z',
    '2027-01-01T08:45:00Z',
    '2027-01-01T10:15:00Z',
  ])
  t.same(next('@hourly', 'UTC', '2027-01-01T00:00:00Z', 1), ['2027-01-01T01:00:00Z'])
  t.same(next('0 0 * * 7', 'UTC', '2027-01-01T00:00:00Z', 1), ['2027-01-03T00:00:00Z'])
  t.same(
    next('0 0 13 * FRI', 'UTC', '2027-01-01T00:00:01Z', 2),
    ['2027-01-08T00:00:00Z', '2027-01-13T00:00:00Z'],
    'either day, as cron has it',
  )
  t.same(next('0 0 30 2 *', 'UTC', '2027-01-01T00:00:00Z', 1), [], 'a day that never comes')
})

t.test('what is no pattern and what is no zone is told apart', async (t) => {
  const patterns = [
    '',
    '* * * *',
    '* * * * * * *',
    '61 * * * *',
    '*/0 * * * *',
    '5-1 * * * *',
    '@reboot',
    '@every 5m',
    '2027-01-01T00:00:00',
    'a b c d e',
  ]
  for (const pattern of patterns)
    t.throws(() => slotsOf(pattern, 'UTC'), { name: 'CronInvalid', field: 'cron' } as unknown as CronInvalid, pattern)
  t.throws(() => slotsOf('* * * * *', 'Mars/Base'), { name: 'CronInvalid', field: 'timezone' } as unknown as CronInvalid)
})
