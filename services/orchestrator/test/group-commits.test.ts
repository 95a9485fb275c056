import { until } from '@baton/testing'
import t from 'tap'
import { groupCommits } from '../src/group-commits.ts'

t.test('what is asked in one tick is written as one group, and each gets its own answers', async (t) => {
  const groups: number[][] = []
  const write = async (items: number[]) => {
    groups.push(items)
    return items.map((item) => item * 10)
  }
  const put = groupCommits({ write, itemsMax: 100, groupsMax: 2, isPoison: () => false })
  const answers = await Promise.all([put([1]), put([2, 3]), put([4])])
  t.same(answers, [[10], [20, 30], [40]])
  t.same(groups, [[1, 2, 3, 4]])
})

t.test('a group stays below its limit, yet the items of one call are never parted', async (t) => {
  const groups: number[][] = []
  const write = async (items: number[]) => {
    groups.push(items)
    return items
  }
  const put = groupCommits({ write, itemsMax: 3, groupsMax: 1, isPoison: () => false })
  await Promise.all([put([1, 2]), put([3, 4]), put([5, 6, 7, 8]), put([9])])
  t.same(groups, [[1, 2], [3, 4], [5, 6, 7, 8], [9]])
})

t.test('while the allowed groups are under way the next one gathers', async (t) => {
  const gates: (() => void)[] = []
  const groups: number[][] = []
  const write = (items: number[]) => {
    groups.push(items)
    return new Promise<number[]>((resolve) => gates.push(() => resolve(items)))
  }
  const put = groupCommits({ write, itemsMax: 100, groupsMax: 1, isPoison: () => false })
  const first = put([1])
  await new Promise(setImmediate)
  const rest = [put([2]), put([3])]
  await new Promise(setImmediate)
  t.same(groups, [[1]])
  gates.shift()?.()
  await first
  await until(() => groups.length === 2)
  t.same(groups, [[1], [2, 3]])
  gates.shift()?.()
  await Promise.all(rest)
})

t.test('one item that is refused does not fail its neighbours', async (t) => {
  const write = async (items: number[]) => {
    if (items.includes(3)) throw new Error('refused')
    return items
  }
  const put = groupCommits({ write, itemsMax: 100, groupsMax: 2, isPoison: () => true })
  const answers = await Promise.allSettled([put([1]), put([2]), put([3]), put([4, 5])])
  t.same(
    answers.map((answer) => answer.status),
    ['fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
  )
})

t.test('when the database is away all of the group fail, and it is not asked again', async (t) => {
  let tries = 0
  const write = async () => {
    tries += 1
    throw new Error('away')
  }
  const put = groupCommits<number, number>({ write, itemsMax: 100, groupsMax: 2, isPoison: () => false })
  const answers = await Promise.allSettled([put([1]), put([2])])
  t.ok(answers.every((answer) => answer.status === 'rejected'))
  t.equal(tries, 1)
})
