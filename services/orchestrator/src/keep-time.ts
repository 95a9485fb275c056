/**
 * The clock of this replica: sleeps until the next slot of a schedule is due, by the clock of Postgres, and looks once a second for what others
 * have put there: earlier slots, and events whose triggers have not been looked for.
 */
import type { Logger } from '@baton/runtime'

export interface TimeKeeper {
  /** Something may have become due earlier. */
  look(): void
  /** Ends when what was begun is done. */
  stop(): Promise<void>
}

export interface TimeKeeperOptions {
  /** Postgres' now, in ms since 1970. */
  clock(): Promise<number>
  agenda(): Promise<{ dueInMs: number | null; untriggered: boolean }>
  /** Fires what is due; gives how many schedules that were. `since`: when this replica began to watch. */
  fireDue(since: number): Promise<number>
  /** Starts what events want that nobody has looked at; gives how many those were. */
  fireUntriggered(): Promise<number>
  log: Pick<Logger, 'warn'>
}

const POLL_MS = 1_000
/** What is due is with another replica, or is left to one: look again soon, and later each time. */
const UNDER_WAY_MS = 20
const UNDER_WAY_MS_MAX = 320

/** Starts it. Errors are logged, and tried again a second later. */
export function keepTime(options: TimeKeeperOptions): TimeKeeper {
  let since: number | undefined
  let stopped = false
  let handle: NodeJS.Timeout | undefined
  let round: Promise<void> | undefined
  let lookAgain = false
  let underWayMs = UNDER_WAY_MS

  function schedule(inMs: number): void {
    clearTimeout(handle)
    if (!stopped) handle = setTimeout(begin, inMs)
  }

  function begin(): void {
    lookAgain = false
    round = work()
      .catch((error: unknown) => {
        options.log.warn({ err: error }, 'schedules could not be looked at')
        return POLL_MS
      })
      .then((inMs) => {
        round = undefined
        schedule(lookAgain ? 0 : inMs)
      })
  }

  /** How long there is nothing to do, in ms. */
  async function work(): Promise<number> {
    since ??= await options.clock()
    const { dueInMs, untriggered } = await options.agenda()
    const isDue = dueInMs !== null && dueInMs <= 0
    if (!isDue && !untriggered) {
      underWayMs = UNDER_WAY_MS
      return Math.min(POLL_MS, Math.ceil(dueInMs ?? POLL_MS))
    }
    const done = (isDue ? await options.fireDue(since) : 0) + (untriggered ? await options.fireUntriggered() : 0)
    underWayMs = done > 0 ? UNDER_WAY_MS : Math.min(underWayMs * 2, UNDER_WAY_MS_MAX)
    return done > 0 ? 0 : underWayMs
  }

  schedule(0)
  return {
    look() {
      if (round) lookAgain = true
      else schedule(0)
    },
    async stop() {
      stopped = true
      clearTimeout(handle)
      await round
    },
  }
}
