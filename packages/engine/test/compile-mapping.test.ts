import type { Json } from '@baton/contracts'
import { compileFilter, compileMapping } from '@baton/engine'
import t from 'tap'

const EVENT: Json = { type: 'order.paid', data: { id: 7, lines: [{ n: 1 }, { n: 2 }], note: null } }
const render = (value: Json) => compileMapping(value, ['event'], '/input').compiled?.render({ event: EVENT })

t.test('a mapping renders every text of a JSON value over the variables it is given', async (t) => {
  t.strictSame(render('${{ event.data }}'), (EVENT as { data: Json }).data)
  t.strictSame(
    render({
      id: '${{ event.data.id }}',
      text: 'order ${{ event.data.id }}',
      all: ['${{ event.data.lines.map(l, l.n) }}', 1, null],
      lit: true,
    }),
    { id: 7, text: 'order 7', all: [[1, 2], 1, null], lit: true },
  )
  t.strictSame(render('$${{ event }}'), '${{ event }}')
  t.strictSame(render('${{ event.?missing.orValue("none") }}'), 'none')
})

t.test('what a mapping may not mention is refused where it stands', async (t) => {
  const errors = compileMapping(
    {
      a: '${{ steps.x.output }}',
      'b/c': ['${{ secrets.KEY }}'],
      d: '${{ input.x }}',
      e: '${{ now }}',
      f: '${{ event. }}',
      g: '${{ event.x }}',
    },
    ['event', 'query'],
    '/input',
  ).errors!
  t.match(errors, [
    { pointer: '/input/a', message: /steps are not known here, only event, query/ },
    { pointer: '/input/b~1c/0', message: /secrets may not stand here/ },
    { pointer: '/input/d', message: /unknown variable input; known here: event, query/ },
    { pointer: '/input/e', message: /unknown variable now/ },
    { pointer: '/input/f' },
  ])
  t.equal(errors.length, 5)
})

t.test('a mapping that does not fit what came throws, and does a bounded amount of work', async (t) => {
  t.throws(() => render('${{ event.data.nothing }}'), {
    name: 'ExpressionError',
    code: 'BTN_EXPRESSION',
    message: /no such field: nothing/,
  })
  const many = `\${{ [${Array.from({ length: 500 }, (_, i) => i).join(',')}].map(a, event.data.lines.map(b, event.data.lines.map(c, event.data.lines.map(d, event.data.lines.map(e, event.data.lines.map(f, event.data.lines.map(g, event.data.lines.map(h, event.data.lines.map(i, event.data.lines.map(j, a)))))))))) }}`
  t.throws(() => render(many), { code: 'BTN_EXPRESSION_LIMIT' })
})

t.test('a filter says yes or no', async (t) => {
  const matches = (source: string) => compileFilter(source, ['event'], '/where').compiled?.matches({ event: EVENT })
  t.equal(matches('event.data.id > 5'), true)
  t.equal(matches('${{ event.data.id > 7 }}'), false)
  t.throws(() => matches('event.data.id'), { message: /true or false/ })
  t.throws(() => matches('event.nothing == 1'), { code: 'BTN_EXPRESSION' })
  t.match(compileFilter('1 + 1', ['event'], '/where').errors, [{ pointer: '/where', message: /must be true or false/ }])
  t.match(compileFilter('body.x', ['event'], '/where').errors, [{ pointer: '/where', message: /unknown variable body/ }])
})
