/** The bounds of long lists, and what is told of them. */
import t from 'tap'
import { type ItemsRound, itemsReport, type ListFigures } from '../src/items-report.ts'
import { judgeItems } from '../src/judge-items.ts'
import { parseItemsOptions } from '../src/options.ts'

const list = (more: Partial<ListFigures> = {}): ListFigures => ({
  cpuMs: new Map([
    ['workflow-runner', 1],
    ['http-worker', 1],
  ]),
  itemsPerSecond: 500,
  grownBytes: 50e6,
  wrong: 0,
  ...more,
})
const round = (long: Partial<ListFigures>, short: Partial<ListFigures> = {}): ItemsRound => ({ short: list(short), long: list(long) })

t.test('a long list may cost 1.3 × as much an item, and the runner grow by less than 100 MB', async (t) => {
  t.strictSame(judgeItems([round({ cpuMs: new Map([['workflow-runner', 2.6]]), grownBytes: 99e6 })]), [])
  t.match(judgeItems([round({ cpuMs: new Map([['workflow-runner', 2.7]]) })]), [/1\.35 ×/])
  t.match(judgeItems([round({ grownBytes: 100e6 })]), [/100 MB/])
})

t.test('one run with a wrong result in any round breaks a bound', async (t) => {
  t.match(judgeItems([round({}), round({ wrong: 1 })]), [/^1 runs/])
  t.match(judgeItems([round({}, { wrong: 2 })]), [/^2 runs/])
})

t.test('the report has each process that costs something, and the ratio of both', async (t) => {
  const report = itemsReport([round({ cpuMs: new Map([['workflow-runner', 1.2]]) })], parseItemsOptions([]), new Date(0))
  t.match(report, /\| CPU-ms an item: workflow-runner \| 1\.00 \| 1\.20 \| 1\.20 × \|/)
  t.match(report, /lists of 100 items \| one list of 10000/)
})

t.test('arguments that cannot be used are told', async (t) => {
  t.throws(() => parseItemsOptions(['--items', '1', '--rounds', '0']), /--items .*; --rounds/)
})
