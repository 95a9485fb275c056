import { test } from 'tap'
import { inParallel, longestGap, median, mediansOf, quantile } from '../src/statistics.ts'

test('quantiles are by nearest rank', (t) => {
  const samples = Array.from({ length: 100 }, (_, index) => 100 - index)
  t.equal(quantile(samples, 0.5), 50)
  t.equal(quantile(samples, 0.99), 99)
  t.equal(quantile([7], 0.99), 7)
  t.ok(Number.isNaN(quantile([], 0.5)))
  t.end()
})

test('the median of an even number is between the two in the middle, and one wild sample does not move it', (t) => {
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 3, 2]), 2.5)
  t.equal(median([1, 2, 900]), 2)
  t.ok(Number.isNaN(median([])))
  t.same(mediansOf([{ a: 1, b: 10 }, { a: 3 }, { a: 2, b: 30 }]), { a: 2, b: 20 })
  t.end()
})

test('the longest gap begins at the given moment, ends with the last one, and does not need order', (t) => {
  t.equal(longestGap([5, 100, 130, 110], 90), 20)
  t.equal(longestGap([200, 110, 100, 120], 90), 80)
  t.equal(longestGap([150], 90), 60)
  t.equal(longestGap([80], 90), 0)
  t.end()
})

test('no more tasks than the width run at once', async (t) => {
  let running = 0
  let most = 0
  const done: number[] = []
  await inParallel(20, 3, async (index) => {
    most = Math.max(most, ++running)
    await Promise.resolve()
    running--
    done.push(index)
  })
  t.equal(most, 3)
  t.same(
    done.sort((a, b) => a - b),
    Array.from({ length: 20 }, (_, index) => index),
  )
})
