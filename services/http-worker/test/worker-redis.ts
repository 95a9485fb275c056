/** The Redis in memory as workers need it: their scripts, and keys that live on when somebody prolongs them. */
import type { MemoryRedis } from '@baton/testing/simulate'

type Execute = MemoryRedis['execute']

/** Scripts are known by what they do. */
const SAYS_INSTEAD = /if holder == ARGV\[i\] then\s+redis\.call\('set'/
const KEEPS = /if rows\[1\] and rows\[1\]\[2\] == ARGV\[2\] then\s+redis\.call\('xclaim'/

/** The same Redis, with these commands besides. */
export function redisOfWorkers(server: MemoryRedis): MemoryRedis {
  const execute: Execute = (name, args, by) => {
    if (name === 'expire') return prolong(server, args, by)
    if (name === 'eval' && SAYS_INSTEAD.test(String(args[0]))) return sayInstead(server, args, by)
    if (name === 'eval' && KEEPS.test(String(args[0]))) return keep(server, args, by)
    return server.execute(name, args, by)
  }
  return Object.assign(Object.create(server), { execute })
}

function prolong(server: MemoryRedis, [key, seconds]: Parameters<Execute>[1], by: string): number {
  const value = server.execute('get', [key!], by) as string | null
  if (value === null) return 0
  server.execute('set', [key!, value, 'PX', Number(seconds) * 1_000], by)
  return 1
}

function sayInstead(server: MemoryRedis, [, , key, word, ttl, ...instead]: Parameters<Execute>[1], by: string): number {
  const holder = (server.execute('get', [key!], by) as string | null) ?? ''
  if (!instead.includes(holder)) return 0
  server.execute('set', [key!, word!, 'PX', ttl!], by)
  return 1
}

function keep(server: MemoryRedis, [, , stream, group, consumer, ...ids]: Parameters<Execute>[1], by: string): string[] {
  const isLost = (id: string | number) => {
    const [row] = server.execute('xpending', [stream!, group!, id, id, 1], by) as [id: string, consumer: string][]
    if (row?.[1] !== consumer) return true
    server.execute('xclaim', [stream!, group!, consumer!, 0, id, 'JUSTID'], by)
    return false
  }
  return ids.filter(isLost).map(String)
}
