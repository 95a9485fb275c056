import type { Redis } from 'ioredis'

/**
 * Removes consumers of processes that are long gone: those that hold nothing and have not asked for anything for `idleMs`. Redis never forgets
 * a name by itself, and each start of a replica is a new one. Gives how many it removed; groups that are not there have none.
 */
export async function forgetConsumers(redis: Redis, streams: readonly string[], group: string, idleMs: number): Promise<number> {
  const look = redis.pipeline()
  for (const stream of streams) look.xinfo('CONSUMERS', stream, group)
  const answers = (await look.exec()) ?? []
  const remove = redis.pipeline()
  for (const [index, [error, rows]] of answers.entries()) {
    if (error !== null) continue
    for (const row of rows as (string | number)[][]) {
      const consumer = fieldsOf(row)
      if (consumer.pending === 0 && Number(consumer.idle) > idleMs)
        remove.xgroup('DELCONSUMER', streams[index]!, group, String(consumer.name))
    }
  }
  if (remove.length > 0) await remove.exec()
  return remove.length
}

function fieldsOf(row: readonly (string | number)[]): Record<string, string | number> {
  const fields: Record<string, string | number> = {}
  for (let i = 0; i < row.length; i += 2) fields[String(row[i])] = row[i + 1]!
  return fields
}
