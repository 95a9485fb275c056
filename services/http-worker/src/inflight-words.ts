/**
 * What a worker says of a call under `inflight:<call>`. Its name alone is said as the holder of the entry: whoever takes the entry over takes the
 * word over too. A word apart is said by one who begins a call although its entry is another's by now: it passes to nobody, and whoever has the
 * entry leaves the call to it. So of two who both believe that a call is theirs, the one whose word is written first makes it.
 */
import { keys } from '@baton/contracts'
import type { Redis } from '@baton/runtime'

/** How long one word of a worker counts. */
export const INFLIGHT_TTL_MS = 5_000

/** What stands there when nobody says anything. */
export const NOBODY = ''

/** Writes a word if one of those given stands there; 1 when it does now. */
const SAY = `local holder = redis.call('get', KEYS[1]) or ''
for i = 3, #ARGV do
  if holder == ARGV[i] then
    redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2])
    return 1
  end
end
return 0`

export const wordOf = (consumer: string, isApart: boolean): string => (isApart ? `${consumer}#apart` : consumer)

/** The script and arguments of EVAL that let `word` stand in place of one of `instead`, which it does not when it answers 0. */
export function sayInstead(callId: string, word: string, instead: readonly string[]) {
  return [SAY, 1, keys.inflight(callId), word, INFLIGHT_TTL_MS, ...instead] as const
}

/** Says it at once; false when the word of another stands there. */
export async function say(redis: Redis, callId: string, word: string, instead: readonly string[]): Promise<boolean> {
  return (await redis.eval(...sayInstead(callId, word, instead))) === 1
}
