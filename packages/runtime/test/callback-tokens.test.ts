import { createCallbackTokens } from '@baton/runtime'
import t from 'tap'

const target = { runId: '01920000-0000-7000-8000-0123456789ab', path: 'each[3].charge.compensate', generation: 2 }
const tokens = createCallbackTokens('a master key')

t.test('a token tells what it is for, is the same each time, and fits into a path', async (t) => {
  const token = tokens.sign(target)
  t.same(tokens.read(token), target)
  t.equal(tokens.sign({ ...target }), token)
  t.match(token, /^[\w-]+$/)
  t.same(tokens.read(tokens.sign({ ...target, generation: 4_000_000_000 })), { ...target, generation: 4_000_000_000 })
  const deep = { ...target, path: Array.from({ length: 8 }, () => `${'x'.repeat(63)}[10000]`).join('.') }
  t.ok(tokens.sign(deep).length < 1_024)
  t.same(tokens.read(tokens.sign(deep)), deep)
})

t.test('a token that is not ours to the last bit is none', async (t) => {
  const token = tokens.sign(target)
  const bytes = Buffer.from(token, 'base64url')
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const other = Buffer.from(bytes)
    other[bit >> 3]! ^= 1 << (bit & 7)
    if (tokens.read(other.toString('base64url')) !== undefined) t.fail(`bit ${bit} does not count`)
  }
  const elsewhere = createCallbackTokens('another master key').sign(target)
  for (const text of [
    '',
    'x',
    token.slice(0, -1),
    `${token}A`,
    `${token}=`,
    `${token}.`,
    ` ${token}`,
    bytes.toString('base64'),
    elsewhere,
  ]) {
    t.equal(text !== token && tokens.read(text), undefined, text)
  }
})
