/** What expressions read of steps whose output is not what their kind gives. */
import t from 'tap'
import { start } from './decide-harness.ts'

t.test('what onError gives for a switch is read as it stands', (t) => {
  const steps = {
    choice: { switch: { cases: [{ if: 'true', steps: { no: { fail: { message: 'no' } } } }] }, onError: { output: { n: 7 } } },
    reader: { set: { choice: '${{ steps.choice.output }}', n: '${{ steps.choice.output.n }}' } },
  }
  const h = start({ steps })
  t.equal(h.state.status, 'succeeded')
  t.strictSame(h.state.steps.get('reader')!.output, { choice: { n: 7 }, n: 7 })
  t.end()
})

t.test('a switch that took no case has outputs that hold nothing', (t) => {
  const steps = {
    choice: { switch: { cases: [{ if: 'false', steps: { no: { fail: { message: 'no' } } } }] } },
    reader: { set: { choice: '${{ steps.choice.output }}' } },
  }
  t.strictSame(start({ steps }).state.steps.get('reader')!.output, { choice: { case: null, outputs: {} } })
  t.end()
})
