/**
 * Lookups that are asked for in the same turn of the event loop share one query. Nobody joins a query that was already sent, so an answer is
 * never older than the question: what was saved before a request arrived is seen by it.
 */
export function shareLookups<Answer>(): (key: string, load: () => Promise<Answer>) => Promise<Answer> {
  const unsent = new Map<string, Promise<Answer>>()
  return (key, load) => {
    const known = unsent.get(key)
    if (known) return known
    const answer = new Promise<Answer>((resolve, reject) => {
      setImmediate(() => {
        unsent.delete(key)
        load().then(resolve, reject)
      })
    })
    unsent.set(key, answer)
    return answer
  }
}
