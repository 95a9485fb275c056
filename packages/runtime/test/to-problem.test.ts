import { test } from 'tap'
import { toProblem } from '../src/to-problem.ts'

test('what passes by itself is a 503 with Retry-After, what does not is a 500', async (t) => {
  for (const code of [
    'ECONNREFUSED',
    'EHOSTUNREACH',
    'EAI_AGAIN',
    'CONNECTION_CLOSED',
    '08006',
    '40P01',
    '53100',
    '53300',
    '57P01',
    '58030',
  ]) {
    const { statusCode, code: name, headers } = toProblem(Object.assign(new Error('away'), { code }))
    t.match({ statusCode, name, headers }, { statusCode: 503, name: 'BTN_UNAVAILABLE', headers: { 'retry-after': '1' } }, code)
  }
  for (const code of ['23505', '42P01', 'XX000', 'ENOENT', undefined]) {
    t.equal(toProblem(Object.assign(new Error('a bug'), { code })).statusCode, 500, String(code))
  }
})
