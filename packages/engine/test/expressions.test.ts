import type { Json } from '@baton/contracts'
import { type Env, evaluateCondition, parseExpression } from '@baton/engine'
import t from 'tap'
import { ENV, INPUT, run, STEPS } from './expression-world.ts'

/** Each expression and its JSON. */
const VALUES: [string, Json][] = [
  // literals
  ['1', 1],
  ['1.5', 1.5],
  ['0x1F', 31],
  ['1u', 1],
  ['"a"', 'a'],
  ["'a'", 'a'],
  ['"""a"b"""', 'a"b'],
  ['r"\\d"', '\\d'],
  ['true', true],
  ['null', null],
  ['[1, 2.5, "x", null, true]', [1, 2.5, 'x', null, true]],
  ['{"a": 1, "b": [2]}', { a: 1, b: [2] }],
  ['{1: "a"}', { 1: 'a' }],
  ['-9223372036854775808 < 0', true],
  ['b"abc"', 'YWJj'],
  // numbers across int and double
  ['5 / 2', 2],
  ['5 / 2.0', 2.5],
  ['-7 % 3', -1],
  ['input.a.b * 2', 10],
  ['2 * input.a.b', 10],
  ['input.a.b + 1', 6],
  ['1 - input.a.b', -4],
  ['input.a.b / 2', 2.5],
  ['7 % input.a.b', 2],
  ['input.a.b + input.a.half', 7.5],
  ['input.a.b == 5', true],
  ['5 == input.a.b', true],
  ['input.a.b != 5', false],
  ['input.a.b >= 5 && input.a.b <= 5', true],
  ['input.a.half > 2 && 2 < input.a.half', true],
  ['-input.a.b', -5],
  ['1 == 1.0', true],
  ['2.5 in [1, 2.5]', true],
  ['input.i in [1, 2]', true],
  ['3 in input.list', true],
  ['input.big + 0', 9007199254740991],
  ['int(input.a.half)', 2],
  ['double(1)', 1],
  ['int("42") + 1', 43],
  ['double("1.5e2")', 150],
  ['string(250.0)', '250'],
  ['string(9007199254740993)', '9007199254740993'],
  // fields
  ['input.a.b', 5],
  ['input["a"]["b"]', 5],
  ['input.a[input.key]', 5],
  ['input["a-b"]', 7],
  ['input["in"]', 8],
  ['input.list[0]', 1],
  ['input.list[input.i]', 2],
  ['input.list[size(input.list) - 1]', 3],
  ['input.constructor.x', 1],
  ['input["__proto__"].y', 2],
  ['{"__proto__": 1}', JSON.parse('{"__proto__": 1}')],
  ['{"constructor": 1}.constructor', 1],
  ['steps.order.output.body.id', 7],
  ['steps["order"].output.body["total"]', 250],
  ['steps.order.status', 'succeeded'],
  ['steps.broken.error.status >= 500', true],
  ['steps.skipped.output', null],
  ['steps.order', STEPS.order as Json],
  ['vars.LIMIT', 100],
  ['workflow.name + "-" + string(workflow.version)', 'refund-3'],
  ['run.id', 'run_1'],
  // missing fields, null, optionals
  ['has(input.a.b)', true],
  ['has(input.a.zz)', false],
  ['has(input.n.x)', false],
  ['has(input.toString)', false],
  ['has(steps.skipped.output.body)', false],
  ['has(steps.order.output)', true],
  ['has(input.n)', true],
  ['input.?zz.orValue(3)', 3],
  ['input.?n.orValue(3)', null],
  ['input.?a.b.orValue(0)', 5],
  ['input.?zz.b.c.orValue("d")', 'd'],
  ['input.n.?x.orValue("d")', 'd'],
  ['input.s.?x.orValue("d")', 'd'],
  ['steps.skipped.output.?body.id.orValue(0)', 0],
  ['input.list[?9].orValue(-1)', -1],
  ['input.a[?"b"].value()', 5],
  ['input.?zz.hasValue()', false],
  ['input.?zz.or(input.?s).orValue("x")', 'hi'],
  ['optional.of(1).orValue(2)', 1],
  ['optional.none().orValue(2)', 2],
  ['input.?zz', null],
  // logic
  ['input.flag ? 1 : "no"', 1],
  ['true || input.zz', true],
  ['input.zz || true', true],
  ['input.zz && false', false],
  ['!input.flag', false],
  ['input.n == null', true],
  ['input.s == null', false],
  ['null == 1', false],
  ['"1" == 1', false],
  ['input.a == {"b": 5.0, "zero": 0, "half": 2.5}', true],
  ['[1, [2, {"a": null}]] == [1.0, [2.0, {"a": null}]]', true],
  ['"abc" < "abd"', true],
  ['false < true', true],
  ['"b" in {"b": 1}', true],
  ['"toString" in input.a', false],
  // strings
  ['"héé😀".size()', 4],
  ['"hello".contains("ell") && "hello".startsWith("he") && "hello".endsWith("lo")', true],
  ['"abc".matches("^a.*c$")', true],
  ['"xabcx".matches("abc")', true],
  ['"a,b,c".split(",")', ['a', 'b', 'c']],
  ['"a,b,c".split(",", 2)', ['a', 'b,c']],
  ['["a", "b"].join("-")', 'a-b'],
  ['" x ".trim() + "Ab".lowerAscii() + "Ab".upperAscii()', 'xabAB'],
  ['"hello".substring(1, 3) + "hello".charAt(0)', 'elh'],
  ['"hello".indexOf("l") + "hello".lastIndexOf("l")', 5],
  ['"a.b.c".replace(".", "-")', 'a-b-c'],
  ['"a.b.c".replace(".", "-", 1)', 'a-b.c'],
  ['"a" + "b"', 'ab'],
  ['bytes("hi").base64() + base64.encode(bytes("hi"))', 'aGk=aGk='],
  ['string(base64.decode("aGk="))', 'hi'],
  ['bool("true")', true],
  ['string(true)', 'true'],
  // lists and comprehensions
  ['[1] + ["a"]', [1, 'a']],
  ['input.list.map(x, x * 2)', [2, 4, 6]],
  ['input.list.map(x, x > 1, x * 2)', [4, 6]],
  ['input.list.filter(x, x > 1)', [2, 3]],
  ['input.list.all(x, x > 0)', true],
  ['input.list.exists(x, x == 2)', true],
  ['input.list.exists_one(x, x == 2)', true],
  ['input.mixed.exists(x, x > 2)', true],
  ['input.a.map(k, k)', ['b', 'half', 'zero']],
  ['input.orders.filter(o, o.total > 200).map(o, o.id)', ['o2']],
  ['input.orders.map(o, o.total).sum()', 350.5],
  ['input.list.map(x, input.list.map(y, x * y)).flatten().size()', 9],
  ['input.list.map(input, input + 1)', [2, 3, 4]],
  ['input.list.map(x, [10].map(x, x + 1)[0] + x)', [12, 13, 14]],
  ['cel.bind(x, 5, x * x)', 25],
  ['[3, 1, 2].sort() + [1, 1].distinct()', [1, 2, 3, 1]],
  ['[1, 2, 3].slice(1, 3).reverse()', [3, 2]],
  ['lists.range(3)', [0, 1, 2]],
  ['math.greatest(1, 2.5) + math.least([3, 4])', 5.5],
  ['math.round(2.5) + math.floor(2.5) + math.ceil(2.5) + math.abs(-1)', 9],
  ['size(input.a) + size([])', 3],
  // time
  ['now', '2026-01-01T00:00:00.000Z'],
  ['run.startedAt', '2025-12-31T23:00:00.000Z'],
  ['now > run.startedAt', true],
  ['now + duration("90m")', '2026-01-01T01:30:00.000Z'],
  ['now - duration("1d")', '2025-12-31T00:00:00.000Z'],
  ['now - run.startedAt', '3600s'],
  ['duration("1h30m").getMinutes()', 90],
  ['duration("1.5s")', '1.5s'],
  ['timestamp(input.when) > now', true],
  ['timestamp("2026-01-01T01:00:00+01:00") == now', true],
  ['timestamp(1767225600) == now', true],
  ['int(now)', 1767225600],
  ['string(now)', '2026-01-01T00:00:00.000Z'],
  ['now.getFullYear()', 2026],
  ['now.getMonth() + now.getDayOfMonth() + now.getDayOfYear()', 0],
  ['now.getDayOfWeek()', 4],
  ['now.getHours("Europe/Berlin")', 1],
  ['now.getFullYear("America/New_York")', 2025],
  // types
  ['type(1) == int && type(1.0) == double && type("") == string', true],
  ['type([]) == list && type({}) == map && type(true) == bool', true],
  ['type(input.a.b)', 'double'],
]

t.test('an expression gives the JSON that CEL and the contract say', async (t) => {
  t.ok(VALUES.length >= 80)
  for (const [source, wanted] of VALUES) t.strictSame(run(source), wanted, source)
})

t.test('references come from the tree, not from the text', async (t) => {
  const parsed = parseExpression(
    'steps.a.output.x + steps["b"].output + input.list.map(item, item + steps.c.output + "steps.no.output")[0] + vars.X + string(now) + [1].map(input, input)[0]',
  )
  t.strictSame([...parsed.steps].sort(), ['a', 'b', 'c'])
  t.strictSame([...parsed.variables].sort(), ['input', 'now', 'vars'])
  t.strictSame(parsed.vars, ['X'])
  t.strictSame(parseExpression('[1].map(steps, steps)').steps, [], 'a variable of a comprehension hides a root')
  t.strictSame(parseExpression('has(steps.a.output) && has(vars.Y)').vars, ['Y'])
  t.strictSame(parseExpression('steps.?a.output').steps, ['a'])
  t.equal(parseExpression('secrets["K"]').secret, 'K')
})

t.test('only what an expression mentions is asked for', async (t) => {
  const asked: string[] = []
  const env: Env = {
    step(id) {
      return {
        get output(): Json {
          asked.push(`${id}.output`)
          return 1
        },
        status: 'succeeded',
        error: null,
      }
    },
    variable(name) {
      asked.push(name)
      return {}
    },
  }
  run('steps.a.status == "succeeded" ? 1 : input.x', env)
  t.strictSame(asked, [])
  run('steps.a.output', env)
  t.strictSame(asked, ['a.output'])
  asked.length = 0
  run('[1, 2, 3].map(x, size(input) + steps.a.output)', env)
  t.strictSame(asked, ['input', 'a.output'], 'once, not in every round')
})

t.test('what the environment throws passes through, even where errors are weighed', async (t) => {
  const needed = new Error('payload needed')
  const env: Env = {
    step: () => ({
      get output(): Json {
        throw needed
      },
      status: 'succeeded',
      error: null,
    }),
    variable: () => [1],
  }
  for (const source of ['steps.a.output', 'steps.a.output || true', 'input.exists(x, steps.a.output)', 'steps.a.?output.orValue(1)']) {
    t.throws(() => run(source, env), needed, source)
  }
})

t.test('a condition gives true or false, or fails', async (t) => {
  t.equal(evaluateCondition(parseExpression('1 < 2'), ENV), true)
  t.throws(() => evaluateCondition(parseExpression('input.s'), ENV), { code: 'BTN_EXPRESSION', message: /not a string/ })
})

t.test('JSON is handed on, not copied', async (t) => {
  t.equal(run('input.a'), INPUT.a)
  t.equal((run('{"x": input.a}') as { x: Json }).x, INPUT.a)
})
