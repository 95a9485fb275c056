/** What the expressions of tests look at. */
import type { Json } from '@baton/contracts'
import { type Env, parseExpression } from '@baton/engine'

// JSON.parse makes an own property of __proto__, as a body from outside would.
export const INPUT = JSON.parse(`{
  "a": {"b": 5, "half": 2.5, "zero": 0}, "n": null, "list": [1, 2, 3], "mixed": [1, 2.5, "x", null], "s": "hi", "names": ["ann", "bob"],
  "constructor": {"x": 1}, "__proto__": {"y": 2}, "big": 9007199254740991, "flag": true, "when": "2026-01-01T12:00:00Z",
  "orders": [{"id": "o1", "total": 100}, {"id": "o2", "total": 250.5}], "key": "b", "i": 1, "a-b": 7, "in": 8
}`)
const VARIABLES: Record<string, unknown> = {
  input: INPUT,
  now: new Date('2026-01-01T00:00:00Z'),
  run: { id: 'run_1', startedAt: '2025-12-31T23:00:00.000Z' },
  workflow: { name: 'refund', version: 3 },
  vars: { LIMIT: 100 },
}
export const STEPS: Record<string, { output: Json; status: string; error: Json }> = {
  order: { output: { status: 200, body: { id: 7, total: 250 } }, status: 'succeeded', error: null },
  skipped: { output: null, status: 'skipped', error: null },
  broken: { output: null, status: 'failed', error: { code: 'BTN_HTTP_STATUS', message: 'no', status: 500 } },
}
export const ENV: Env = { step: (id) => STEPS[id]!, variable: (name) => VARIABLES[name] }
export const run = (source: string, env: Env = ENV) => parseExpression(source).evaluate(env)
