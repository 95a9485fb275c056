/**
 * Group commit: what is asked in the same turn of the event loop, or while earlier groups are on their way, goes out as one statement.
 */
export interface GroupOptions<Item, Answer> {
  /** Writes a whole group and answers in its order; throws when nothing of it was written. */
  write(items: Item[]): Promise<readonly Answer[]>
  itemsMax: number
  /** Groups under way at once. */
  groupsMax: number
  /** True when another try of a part of the group may fare better: one item that the database refuses must not fail its neighbours. */
  isPoison(error: unknown): boolean
}

/** What one call asked for. */
interface Part<Item, Answer> {
  items: Item[]
  resolve(answers: Answer[]): void
  reject(error: unknown): void
}

/** How many parts make a group of at most `itemsMax` items; one at least. */
function groupLength(queue: readonly Part<unknown, never>[], itemsMax: number): number {
  let count = 0
  const index = queue.findIndex((part, at) => {
    count += part.items.length
    return at > 0 && count > itemsMax
  })
  return index === -1 ? queue.length : index
}

/** Gives a function that writes some items with whatever else is being written. Items of one call stay together, or fail together. */
export function groupCommits<Item, Answer>(options: GroupOptions<Item, Answer>): (items: Item[]) => Promise<Answer[]> {
  const queue: Part<Item, Answer>[] = []
  let underWay = 0
  let scheduled = false

  function schedule(): void {
    if (scheduled || underWay >= options.groupsMax || queue.length === 0) return
    scheduled = true
    setImmediate(() => {
      scheduled = false
      while (queue.length > 0 && underWay < options.groupsMax) void writeGroup(queue.splice(0, groupLength(queue, options.itemsMax)))
    })
  }

  async function writeGroup(group: Part<Item, Answer>[]): Promise<void> {
    underWay += 1
    try {
      await writeParts(group)
    } finally {
      underWay -= 1
      schedule()
    }
  }

  async function writeParts(group: Part<Item, Answer>[]): Promise<void> {
    try {
      const answers = await options.write(group.flatMap((part) => part.items))
      let from = 0
      for (const { items, resolve } of group) {
        resolve(answers.slice(from, from + items.length))
        from += items.length
      }
    } catch (error) {
      if (group.length === 1 || !options.isPoison(error)) {
        for (const part of group) part.reject(error)
        return
      }
      const half = group.length >> 1
      await writeParts(group.slice(0, half))
      await writeParts(group.slice(half))
    }
  }

  return (items) =>
    new Promise((resolve, reject) => {
      queue.push({ items, resolve, reject })
      schedule()
    })
}
