/**
 * Slots of cron patterns, by croner (docs/adr/0012). In a zone with summer time: a slot in the hour that is skipped comes when that hour is over;
 * in the hour that comes twice, a fixed time comes once and an interval goes on through both.
 */
import { Cron } from 'croner'
import { LRUCache } from 'lru-cache'

/** The slots of one pattern in one zone, in ms since 1970. */
export interface Slots {
  /** The first slot after this moment; null when there is none. */
  next(after: number): number | null
  /** The newest `count` slots up to this moment, oldest first. */
  newest(count: number, upTo: number): number[]
}

/** A pattern or a zone that cannot be. `field` is the one that is wrong. */
export class CronInvalid extends Error {
  override readonly name = 'CronInvalid'
  readonly field: 'cron' | 'timezone'
  constructor(field: 'cron' | 'timezone', message: string, cause: unknown) {
    super(message, { cause })
    this.field = field
  }
}

const PATTERN = /^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|\S+(\s+\S+){4,5})$/i
const cache = new LRUCache<string, Slots>({ max: 10_000 })

/** The slots of a pattern of five fields, six (seconds first) or a nickname, in an IANA zone. Throws CronInvalid. */
export function slotsOf(cron: string, timezone: string): Slots {
  const key = `${timezone} ${cron}`
  const known = cache.get(key)
  if (known) return known
  const slots = compile(cron.trim(), timezone)
  cache.set(key, slots)
  return slots
}

function compile(pattern: string, timezone: string): Slots {
  checkZone(timezone)
  if (!PATTERN.test(pattern)) {
    throw new CronInvalid(
      'cron',
      'must have five fields (minute, hour, day, month, weekday), six with seconds first, or be @hourly, @daily …',
      null,
    )
  }
  let cron: Cron
  try {
    cron = new Cron(pattern, { timezone, paused: true, mode: '5-or-6-parts' })
  } catch (error) {
    throw new CronInvalid('cron', (error as Error).message.replace(/^CronPattern: /, ''), error)
  }
  return {
    next: (after) => cron.nextRun(new Date(after))?.getTime() ?? null,
    // What it is asked for is not among the answers: a moment on, a slot at `upTo` itself is.
    newest: (count, upTo) =>
      cron
        .previousRuns(count, new Date(Math.floor(upTo / 1_000) * 1_000 + 1_000))
        .map((slot) => slot.getTime())
        .reverse(),
  }
}

function checkZone(timezone: string): void {
  try {
    new Intl.DateTimeFormat('en', { timeZone: timezone })
  } catch (error) {
    throw new CronInvalid('timezone', 'is not an IANA time zone, such as Europe/Berlin', error)
  }
}
