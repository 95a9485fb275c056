/** CONTRACT §2, "Satisfied": what lets a step go on after each end of what it depends on, under each way of depending on it. */
import t from 'tap'
import { type Harness, start } from './decide-harness.ts'

const http = (more: object = {}) => ({ http: { url: 'https://a.example' }, ...more })
type End = 'succeeded' | 'skipped' | 'failed' | 'tolerated' | 'replaced'

/** The dependency `id`, which will come to this end. */
function dependency(end: End): object {
  if (end === 'skipped') return http({ if: 'false' })
  if (end === 'tolerated') return http({ onError: 'continue' })
  return end === 'replaced' ? http({ onError: { output: { instead: true } } }) : http()
}

function bring(h: Harness, id: string, end: End): void {
  if (end === 'succeeded') h.succeed(id)
  else if (end !== 'skipped') h.fail(id)
}

t.test('one dependency: each end, satisfied or required to succeed', async (t) => {
  const table: [End, string, string][] = [
    ['succeeded', 'running', 'running'],
    ['skipped', 'running', 'skipped'],
    ['tolerated', 'running', 'skipped'],
    ['replaced', 'running', 'skipped'],
    ['failed', 'pending', 'pending'],
  ]
  for (const [end, satisfied, succeeded] of table) {
    const h = start({
      steps: { dep: dependency(end), next: http({ needs: ['dep'] }), strict: http({ needs: [{ step: 'dep', require: 'succeeded' }] }) },
    })
    bring(h, 'dep', end)
    t.equal(h.state.steps.get('next')!.status, satisfied, `after ${end}`)
    t.equal(h.state.steps.get('strict')!.status, succeeded, `after ${end}, required to succeed`)
    t.same(h.refold().steps.get('next')!.status, satisfied)
  }
})

t.test('a failure that is tolerated stays a failure, with the output that is put in its place', async (t) => {
  const h = start({
    steps: { dep: dependency('replaced'), next: { set: { seen: '${{ steps.dep.output }}', status: '${{ steps.dep.status }}' } } },
  })
  h.fail('dep')
  t.match(h.state.steps.get('next')!.output, { seen: { instead: true }, status: 'failed' })
})

t.test('join all: every pair of ends', async (t) => {
  const ends: End[] = ['succeeded', 'skipped', 'tolerated', 'replaced', 'failed']
  for (const one of ends) {
    for (const two of ends) {
      const h = start({ steps: { one: dependency(one), two: dependency(two), next: http({ needs: ['one', 'two'] }) } })
      bring(h, 'one', one)
      if (one !== 'failed') bring(h, 'two', two)
      const goesOn = one !== 'failed' && two !== 'failed'
      t.equal(h.state.steps.get('next')!.status, goesOn ? 'running' : 'pending', `${one} and ${two}`)
    }
  }
})

t.test('join any: starts at the first that succeeded, is skipped when none did', async (t) => {
  const ends: End[] = ['succeeded', 'skipped', 'tolerated', 'replaced']
  for (const one of ends) {
    for (const two of ends) {
      const h = start({ steps: { one: dependency(one), two: dependency(two), next: http({ needs: ['one', 'two'], join: 'any' }) } })
      bring(h, 'one', one)
      const first = h.state.steps.get('next')!.status
      if (one === 'succeeded') t.equal(first, 'running', `at the success of one, ${two} being out`)
      else if (two !== 'skipped') t.equal(first, 'pending', `${one} is no success, and two is out`)
      bring(h, 'two', two)
      const wanted = one === 'succeeded' || two === 'succeeded' ? 'running' : 'skipped'
      t.equal(h.state.steps.get('next')!.status, wanted, `${one} and ${two}`)
    }
  }
})

t.test('join any: what is unfinished reads as it is, recorded once, and goes on', async (t) => {
  const next = { needs: ['quick', 'slow'], join: 'any', set: { slow: '${{ steps.slow.status }}', output: '${{ steps.slow.output }}' } }
  const h = start({ steps: { quick: http(), slow: http(), next } })
  h.succeed('quick')
  t.same(h.state.steps.get('next')!.output, { slow: 'running', output: null })
  t.equal(h.state.status, 'running', 'slow goes on')
  h.succeed('slow', 1)
  t.same(h.state.steps.get('next')!.output, { slow: 'running', output: null })
  t.equal(h.state.status, 'succeeded')
})
