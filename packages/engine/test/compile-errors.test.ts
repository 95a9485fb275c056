import { compile, parseDefinition } from '@baton/engine'
import t from 'tap'

/** A definition of these steps, indented under `steps:`. */
const steps = (text: string) => `steps:\n${text.replace(/^/gm, '  ')}\n`
const OK = steps('a: { set: {} }')

/** What is wrong, the definition, and each error as `pointer line:column` with its message. */
type Case = [string, string, ...[string, RegExp][]]

const SHAPE: Case[] = [
  ['not an object', 'hello', [' 1:1', /must be an object, not a string/]],
  ['nothing', '', [' ', /must be an object, not null/]],
  ['unknown key at the top', `foo: 1\n${OK}`, ['/foo 1:1', /unknown key "foo"/]],
  ['a bad name', `name: Bad Name\n${OK}`, ['/name 1:7', /must match/]],
  ['a name that differs', `name: other\n${OK}`, ['/name 1:7', /differs from refund/]],
  ['no steps', 'name: refund\n', ['/steps 1:1', /is required/]],
  ['an empty map', 'steps: {}\n', ['/steps 1:1', /at least one step/]],
  ['an empty list', 'steps: []\n', ['/steps 1:1', /at least one step/]],
  ['steps that are text', 'steps: foo\n', ['/steps 1:8', /must be a map or a list of steps, not a string/]],
  ['unknown key of a step', steps('a:\n  set: {}\n  foo: 1'), ['/steps/a/foo 4:5', /unknown key "foo"/]],
  ['no kind', steps('a:\n  name: x'), ['/steps/a 2:3', /has no kind/]],
  ['a misspelt kind', steps('a:\n  htpp: {}'), ['/steps/a/htpp 3:5', /unknown key "htpp"/], ['/steps/a 2:3', /has no kind/]],
  ['two kinds', steps('a:\n  set: {}\n  wait: { for: 1s }'), ['/steps/a 2:3', /more than one kind: set, wait/]],
  ['a step that is null', steps('a:'), ['/steps/a 2:5', /must be an object, not null/]],
  ['a bad id', steps('a-b: { set: {} }'), ['/steps/a-b 2:3', /must match/]],
  ['in', steps('in: { set: {} }'), ['/steps/in 2:3', /in cannot be the id/]],
  ['true', steps('true: { set: {} }'), ['/steps/true 2:3', /true cannot be the id/]],
  ['null', steps('null: { set: {} }'), ['/steps/null 2:3', /null cannot be the id/]],
  ['no id in a list', 'steps:\n  - set: {}\n', ['/steps/0/id 2:5', /is required/]],
  ['an id twice in a list', 'steps:\n  - { id: a, set: {} }\n  - { id: a, set: {} }\n', ['/steps/1/id 3:11', /a stands twice/]],
  ['a bad duration', steps('a:\n  wait: { for: 5 minutes }'), ['/steps/a/wait/for 3:18', /not a duration/]],
  ['a bad timeout', `timeout: soon\n${OK}`, ['/timeout 1:10', /not a duration/]],
  ['a bad timeout of a step', steps('a:\n  timeout: soon\n  set: {}'), ['/steps/a/timeout 3:14', /not a duration/]],
  ['a retention that no clock can tell', `retention: 3000000d\n${OK}`, ['/retention 1:12', /at most 100 years/]],
  ['a timeout that no clock can tell', steps('a:\n  timeout: 200000000d\n  set: {}'), ['/steps/a/timeout 3:14', /at most 100 years/]],
  ['a wait that no clock can tell', steps('a:\n  wait: { for: 36526d }'), ['/steps/a/wait/for 3:18', /at most 100 years/]],
  ['timeout beside an approval', steps('a:\n  timeout: 5m\n  approval: { title: x }'), ['/steps/a/timeout 3:5', /approval\.timeout/]],
  ['a body that is null', steps('a:\n  http:'), ['/steps/a/http 3:10', /must be an object, not null/]],
  ['a list for set', steps('a:\n  set: [1]'), ['/steps/a/set 3:5', /must be an object, not a list/]],
  ['what is required', steps('a:\n  approval: {}'), ['/steps/a/approval/title 3:5', /is required/]],
  ['unknown key of a body', steps('a:\n  http: { url: "https://x", foo: 1 }'), ['/steps/a/http/foo 3:31', /unknown key "foo"/]],
  [
    'retry',
    steps('a:\n  retry: { attempts: 0, foo: 1 }\n  set: {}'),
    ['/steps/a/retry/attempts 3:24', />=1/],
    ['/steps/a/retry/foo 3:27', /unknown/],
  ],
  ['onError', steps('a:\n  onError: explode\n  set: {}'), ['/steps/a/onError 3:14', /"fail" or "continue"/]],
  ['join', steps('a:\n  join: some\n  set: {}'), ['/steps/a/join 3:11', /"all" or "any"/]],
  [
    'all at once',
    `foo: 1\n${steps('a:\n  foo: 1\n  set: {}\nb: {}\nc:\n  needs: [x]\n  set: { x: "${{ 1 + }}" }')}`,
    ['/foo 1:1', /unknown/],
    ['/steps/a/foo 4:5', /unknown/],
    ['/steps/b 6:3', /no kind/],
    ['/steps/c/set/x 9:15', /EOF/],
    ['/steps/c/needs/0 8:13', /unknown step x/],
  ],
]

const INNER = (inner: string) => `a:\n  switch:\n    cases:\n      - if: true\n        steps:\n          ${inner}`
const REFERENCES: Case[] = [
  ['unknown need', steps('a:\n  needs: [b]\n  set: {}'), ['/steps/a/needs/0 3:13', /unknown step b/]],
  ['unknown need that stands alone', steps('a:\n  needs: b\n  set: {}'), ['/steps/a/needs 3:12', /unknown step b/]],
  [
    'unknown need with require',
    steps('a:\n  needs: [{ step: b, require: succeeded }]\n  set: {}'),
    ['/steps/a/needs/0 3:13', /unknown step b/],
  ],
  [
    'a bad require',
    steps('a:\n  needs: [{ step: a, require: x }]\n  set: {}'),
    ['/steps/a/needs/0/require 3:33', /"satisfied" or "succeeded"/],
  ],
  ['a need that is a number', steps('a:\n  needs: [1]\n  set: {}'), ['/steps/a/needs/0 3:13', /must be a string or an object/]],
  ['needing oneself', steps('a:\n  needs: [a]\n  set: {}'), ['/steps 1:1', /waits for itself: a → a/]],
  ['an unknown step in an expression', steps('a:\n  set: { x: "${{ steps.b.output }}" }'), ['/steps/a/set/x 3:15', /unknown step b/]],
  ['an unknown step in if', steps('a:\n  if: steps.b.output.ok\n  set: {}'), ['/steps/a/if 3:9', /unknown step b/]],
  ['an unknown step in the output', `${OK}output: \${{ steps.b.output }}\n`, ['/output 3:9', /unknown step b/]],
  [
    'an inner step from outside',
    steps(`${INNER('x: { set: {} }')}\nb:\n  set: { y: "\${{ steps.x.output }}" }`),
    ['/steps/b/set/y 9:15', /x is inside a/],
  ],
  ['an inner step in the output', `${steps(INNER('x: { set: {} }'))}output: \${{ steps.x.output }}\n`, ['/output 8:9', /x is inside a/]],
  ['mentioning oneself', steps('a:\n  set: { x: "${{ steps.a.output }}" }'), ['/steps/a/set/x 3:15', /cannot mention itself/]],
  [
    'mentioning the own container',
    steps(INNER('x: { set: { v: "${{ steps.a.output }}" } }')),
    ['/steps/a/switch/cases/0/steps/x/set/v 7:28', /a step inside a cannot mention a/],
  ],
  ['an id of a step around', steps(INNER('a: { set: {} }')), ['/steps/a/switch/cases/0/steps/a 7:13', /used by a step around/]],
  [
    'an id of a step beside the container',
    steps(`b: { set: {} }\n${INNER('b: { set: {} }')}`),
    ['/steps/a/switch/cases/0/steps/b 8:13', /used by a step around/],
  ],
  ['a cycle', steps('a:\n  set: { x: "${{ steps.b.output }}" }\nb:\n  needs: [a]\n  set: {}'), ['/steps 1:1', /a → b → a/]],
  [
    'a cycle of three',
    steps('a: { needs: [c], set: {} }\nb: { needs: [a], set: {} }\nc: { needs: [b], set: {} }'),
    ['/steps 1:1', /a → c → b → a/],
  ],
  [
    'a cycle through a container',
    steps(`${INNER('x: { set: { v: "${{ steps.b.output }}" } }')}\nb:\n  needs: [a]\n  set: {}`),
    ['/steps 1:1', /a → b → a/],
  ],
  [
    'a cycle inside a container',
    steps(INNER('{ x: { needs: [y], set: {} }, y: { needs: [x], set: {} } }')),
    ['/steps/a/switch/cases/0/steps 6:11', /x → y → x/],
  ],
  [
    'a later step of a sequence',
    'steps:\n  - id: a\n    set: { x: "${{ steps.b.output }}" }\n  - id: b\n    set: {}\n',
    ['/steps 1:1', /a → b → a/],
  ],
  [
    'a field that steps do not have',
    steps('a: { set: {} }\nb:\n  set: { x: "${{ steps.a.body }}" }'),
    ['/steps/b/set/x 4:15', /steps\.a\.output/],
  ],
  ['a step by a computed id', steps('a:\n  set: { x: "${{ steps[input.k] }}" }'), ['/steps/a/set/x 3:15', /write the id/]],
]

const EXPRESSIONS: Case[] = [
  ['broken CEL', steps('a:\n  set: { x: "${{ 1 + }}" }'), ['/steps/a/set/x 3:15', /EOF/]],
  ['broken CEL in a list', steps('a:\n  set: { x: [1, "${{ ) }}"] }'), ['/steps/a/set/x/1 3:19', /Unexpected/]],
  ['no end', steps('a:\n  set: { x: "${{ 1" }'), ['/steps/a/set/x 3:15', /has no }}/]],
  ['an unknown variable', steps('a:\n  set: { x: "${{ foo.bar }}" }'), ['/steps/a/set/x 3:15', /unknown variable foo/]],
  [
    'a step without steps.',
    steps('a: { set: {} }\nb:\n  set: { x: "${{ a.output }}" }'),
    ['/steps/b/set/x 4:15', /write steps\.a\.output/],
  ],
  ['an unknown function', steps('a:\n  set: { x: "${{ foo(1) }}" }'), ['/steps/a/set/x 3:15', /unknown function foo/]],
  ['types that never fit', steps('a:\n  set: { x: "${{ 1 + \'a\' }}" }'), ['/steps/a/set/x 3:15', /int \+ string/]],
  ['item', steps('a:\n  set: { x: "${{ item }}" }'), ['/steps/a/set/x 3:15', /only inside forEach/]],
  ['index', steps('a:\n  if: index > 0\n  set: {}'), ['/steps/a/if 3:9', /only inside forEach/]],
  ['iteration', steps('a:\n  if: iteration > 0\n  set: {}'), ['/steps/a/if 3:9', /only inside loop/]],
  ['last', steps('a:\n  if: last == null\n  set: {}'), ['/steps/a/if 3:9', /only inside loop/]],
  ['error', steps('a:\n  if: error.status == 1\n  set: {}'), ['/steps/a/if 3:9', /only in retry\.on/]],
  ['if that cannot be boolean', steps('a:\n  if: 1 + 1\n  set: {}'), ['/steps/a/if 3:9', /must be true or false, not an int/]],
  ['if that is text', steps('a:\n  if: "${{ \'yes\' }}"\n  set: {}'), ['/steps/a/if 3:9', /must be true or false, not a string/]],
  ['if of two expressions', steps('a:\n  if: "${{ true }} && ${{ true }}"\n  set: {}'), ['/steps/a/if 3:9', /one expression/]],
  ['an empty if', steps('a:\n  if: ""\n  set: {}'), ['/steps/a/if 3:9', /./]],
  [
    'case that cannot be boolean',
    steps('a:\n  switch:\n    cases:\n      - if: "1"\n        steps: { x: { set: {} } }'),
    ['/steps/a/switch/cases/0/if 5:15', /must be true or false/],
  ],
  ['a secret in set', steps('a:\n  set: { x: "${{ secrets.K }}" }'), ['/steps/a/set/x 3:15', /secrets may stand only/]],
  ['a secret in if', steps('a:\n  if: secrets.K == "x"\n  set: {}'), ['/steps/a/if 3:9', /secrets may not stand/]],
  [
    'a secret in a prompt',
    steps('a:\n  agent: { model: mock/a, prompt: "${{ secrets.K }}" }'),
    ['/steps/a/agent/prompt 3:37', /secrets may stand only/],
  ],
  [
    'a secret in a title',
    steps('a:\n  approval: { title: "${{ secrets.K }}" }'),
    ['/steps/a/approval/title 3:24', /secrets may stand only/],
  ],
  ['a secret in the output', `${OK}output: \${{ secrets.K }}\n`, ['/output 3:9', /secrets may stand only/]],
  [
    'a secret inside an expression',
    steps('a:\n  http: { url: "https://x/${{ secrets.K + \'a\' }}" }'),
    ['/steps/a/http/url 3:18', /a secret stands alone/],
  ],
]

const BODIES: Case[] = [
  ['an input schema', `input: { type: strin }\n${OK}`, ['/input/type 1:16', /must be one of/]],
  ['a reference to elsewhere', `input: { $ref: "https://x/y" }\n${OK}`, ['/input 1:1', /reference/]],
  ['a pattern that is not RE2', `input: { pattern: "(?=a)" }\n${OK}`, ['/input/pattern 1:19', /RE2/]],
  ['a form', steps('a:\n  approval: { title: x, form: { type: foo } }'), ['/steps/a/approval/form/type 3:41', /must be one of/]],
  [
    'expect.schema',
    steps('a:\n  http: { url: "https://x", expect: { schema: { type: foo } } }'),
    ['/steps/a/http/expect/schema/type 3:57', /must be one of/],
  ],
  [
    'the output of an agent',
    steps('a:\n  agent: { model: mock/a, prompt: x, output: { type: foo } }'),
    ['/steps/a/agent/output/type 3:56', /must be one of/],
  ],
  ['a model', steps('a:\n  agent: { model: gpt, prompt: x }'), ['/steps/a/agent/model 3:21', /provider\/model/]],
  ['a url', steps('a:\n  http: { url: x }'), ['/steps/a/http/url 3:18', /http:\/\//]],
  ['a method', steps('a:\n  http: { url: "https://x", method: "P OST" }'), ['/steps/a/http/method 3:39', /method/]],
  ['a status', steps('a:\n  http: { url: "https://x", expect: { status: 999 } }'), ['/steps/a/http/expect/status 3:49', /status/]],
  ['a header', steps('a:\n  http: { url: "https://x", headers: { "a b": x } }'), ['/steps/a/http/headers/a b 3:42', /header name/]],
  [
    'a header that is a list',
    steps('a:\n  http: { url: "https://x", headers: { a: [1] } }'),
    ['/steps/a/http/headers/a 3:42', /must be a string/],
  ],
  [
    'half of auth',
    steps('a:\n  http: { url: "https://x", auth: { basic: { username: x } } }'),
    ['/steps/a/http/auth/basic/password 3:39', /is required/],
  ],
  [
    'a quorum nobody can meet',
    steps('a:\n  approval: { title: x, assignees: ["user:a"], quorum: 2 }'),
    ['/steps/a/approval/quorum 3:58', /never be met/],
  ],
  ['an assignee', steps('a:\n  approval: { title: x, assignees: [bob] }'), ['/steps/a/approval/assignees/0 3:39', /user:<name>/]],
  ['an unknown role', steps('a:\n  approval: { title: x, assignees: "role:boss" }'), ['/steps/a/approval/assignees 3:38', /unknown role/]],
  [
    'no option approves',
    steps('a:\n  approval: { title: x, options: [up, down], onTimeout: approve }'),
    ['/steps/a/approval/onTimeout 3:59', /no option approves/],
  ],
  [
    'two options approve',
    steps('a:\n  approval: { title: x, options: [{ id: a, approves: true }, { id: b, approves: true }] }'),
    ['/steps/a/approval/options/1 3:64', /only one/],
  ],
  [
    'an option that does both',
    steps('a:\n  approval: { title: x, options: [{ id: a, approves: true, rejects: true }] }'),
    ['/steps/a/approval/options/0 3:37', /both/],
  ],
  ['an option twice', steps('a:\n  approval: { title: x, options: [a, a] }'), ['/steps/a/approval/options/1 3:40', /stands twice/]],
  [
    'a comment for no option',
    steps('a:\n  approval: { title: x, requireComment: [nope] }'),
    ['/steps/a/approval/requireComment/0 3:44', /no option nope/],
  ],
  [
    'a channel',
    steps('a:\n  approval: { title: x, notify: { pigeon: 1 } }'),
    ['/steps/a/approval/notify/pigeon 3:37', /webhook or slack or email/],
  ],
  ['a wait for nothing', steps('a:\n  wait: {}'), ['/steps/a/wait 3:5', /exactly one/]],
  ['a time', steps('a:\n  wait: { until: tomorrow }'), ['/steps/a/wait/until 3:20', /RFC 3339/]],
  ['no cases', steps('a:\n  switch: { cases: [] }'), ['/steps/a/switch/cases 3:15', /at least one case/]],
  [
    'an empty case',
    steps('a:\n  switch: { cases: [{ steps: {} }] }'),
    ['/steps/a/switch/cases/0/if 3:23', /is required/],
    ['/steps/a/switch/cases/0/steps 3:25', /at least one step/],
  ],
  ['a message', steps('a:\n  fail: { message: 1 }'), ['/steps/a/fail/message 3:22', /must be a string, not a number/]],
]

t.test('every mistake is told at its place', async (t) => {
  for (const [name, text, ...wanted] of [...SHAPE, ...REFERENCES, ...EXPRESSIONS, ...BODIES]) {
    const { value, locate } = parseDefinition(text, 'yaml')
    const { plan, errors } = compile(value, { locate, name: 'refund' })
    t.equal(plan, null, name)
    const places = errors.map((error) => `${error.pointer} ${error.line ? `${error.line}:${error.column}` : ''}`)
    t.strictSame(
      places,
      wanted.map(([place]) => place),
      `${name}: ${JSON.stringify(errors)}`,
    )
    wanted.forEach(([, message], i) => {
      t.match(errors[i]?.message, message, name)
    })
  }
})

t.test('not more errors than anybody reads', async (t) => {
  const { errors } = compile(Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`k${i}`, 1])))
  t.equal(errors.length, 500)
})
