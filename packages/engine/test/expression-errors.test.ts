import { ExpressionError, ExpressionSyntaxError, parseExpression } from '@baton/engine'
import t from 'tap'
import { run } from './expression-world.ts'

const FAILURES: [string, RegExp][] = [
  ['input.zz', /no such field: zz/],
  ['input.n.x', /no such field: x \(of null\)/],
  ['input.a.zz.y', /no such field: zz/],
  ['has(input.zz.y)', /no such field: zz/],
  ['input.toString', /no such field/],
  ['input.a.constructor', /no such field/],
  ['input.a["__proto__"]', /no such field/],
  ['input.list.length', /a list has no field length/],
  ['input.s.length', /a string has no field length/],
  ['input.list[3]', /index 3 is outside the list of 3/],
  ['input.list[-1]', /outside/],
  ['input.list[0.5]', /no field/],
  ['input.s + 1', /string \+ int/],
  ['input.n > 1', /null > int/],
  ['input.s < input.a.b', /string < double/],
  ['1 / 0', /division by zero/],
  ['1 % 0', /modulus by zero/],
  ['input.a.b / 0', /Infinity is not a JSON number/],
  ['9223372036854775807 + 1', /integer overflow/],
  ['9007199254740993', /too large for a JSON number/],
  ['int("x")', /not an integer/],
  ['double("x")', /not a number/],
  ['bool("x")', /not true or false/],
  ['timestamp("yesterday")', /not an RFC 3339 time/],
  ['duration("soon")', /not a duration/],
  ['now.getHours("Mars/Base")', /unknown time zone/],
  ['"a".matches("(?=a)")', /bad pattern/],
  ['"a".matches("(a)\\\\1")', /bad pattern/],
  ['"a".substring(5)', /out of range/],
  ['[1].map(x, x.y)', /no field/],
  ['input.list.all(x, x)', /must be true or false/],
  ['input.s.map(x, x)', /no items/],
  ['input.s ? 1 : 2', /must be true or false/],
  ['input.s && true', /takes true or false/],
  ['input.?zz.value()', /has no value/],
  ['optional.none().or(input.s)', /optional/],
  ['{input.key: 1, "b": 2}', /stands twice/],
  ['{input.list: 1}', /cannot be a key/],
  ['false || input.zz', /no such field/],
  ['input.mixed.exists(x, x > 99)', /no such operation/],
  ['foo', /foo is not known here/],
]

t.test('bad data is an ExpressionError that names the expression', async (t) => {
  for (const [source, message] of FAILURES) {
    let error: unknown
    try {
      run(source)
    } catch (caught) {
      error = caught
    }
    t.ok(error instanceof ExpressionError, source)
    t.equal((error as ExpressionError).code, 'BTN_EXPRESSION', source)
    t.match((error as ExpressionError).message, message, source)
    t.ok((error as ExpressionError).message.includes(source), source)
  }
})

const REFUSED: [string, RegExp][] = [
  ['', /EOF/],
  ['1 +', /EOF/],
  ['a b', /Unexpected/],
  ['"abc', /Unterminated/],
  ['a?.b', /./],
  ['1 + "a"', /int \+ string/],
  ['"a" && true', /must be true or false/],
  ['nope(1)', /unknown function nope/],
  ['"a".nope()', /unknown function nope/],
  ['math.nope(1)', /unknown function math.nope/],
  ['size()', /does not take 0 arguments/],
  ['has(a)', /has\(\) takes a field/],
  ['[1].map(1, 2)', /variable/],
  ['steps', /steps stands only before a step/],
  ['steps[input.x]', /write the id of the step out/],
  ['steps.a.body', /has output, status and error/],
  ['vars[input.x]', /write the name of the variable out/],
  ['run.nope', /run has no field nope/],
  ['9223372036854775808', /integer overflow/],
  [`${'!'.repeat(9_000)}true`, /deep/],
  [`${'('.repeat(500)}1${')'.repeat(500)}`, /maxDepth/],
  [Array(3_000).fill('1').join('+'), /maxAstNodes/],
  [`"${'a'.repeat(10_000)}"`, /longer than/],
]

t.test('an expression that can never work is refused before anything runs', async (t) => {
  for (const [source, message] of REFUSED)
    t.throws(() => parseExpression(source), { constructor: ExpressionSyntaxError, message }, source.slice(0, 40))
})
