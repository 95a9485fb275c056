/** Which slots of a schedule are fired, and which were missed and are dropped: pure, by its catch-up policy. */
import type { CatchUp } from '@baton/contracts'
import type { Slots } from './cron-slots.ts'

/** All times in ms by the clock of Postgres. */
export interface SlotsWanted {
  slots: Slots
  catchUp: CatchUp
  /** The first slot that has not been dealt with; it is due. */
  nextAt: number
  now: number
  /** Since when somebody has been watching: slots from before were missed. */
  since: number
  /** A slot that is older than this was missed too. */
  lateMsMax: number
  /** Slots that `catchUp: all` makes up for at most: the newest. */
  catchUpMax: number
  /** Slots that one call fires at most; the rest stay due. */
  fireMax: number
}

export interface SlotsPlanned {
  /** Oldest first. */
  fire: number[]
  /** How many were dropped, as far as they were counted. */
  dropped: number
  nextAt: number | null
}

/** What becomes of the slots that are due. */
export function planSlots(wanted: SlotsWanted): SlotsPlanned {
  const { slots, now, since, lateMsMax, catchUp, fireMax } = wanted
  const { due, dropped } = dueSlots(wanted)
  const isMissed = (slot: number) => slot < since || now - slot > lateMsMax
  const firstInTime = due.findIndex((slot) => !isMissed(slot))
  const missed = firstInTime === -1 ? due.length : firstInTime
  const from = { skip: missed, last: Math.max(0, missed - 1), all: 0 }[catchUp]
  const fire = due.slice(from, from + fireMax)
  const rest = due[from + fireMax]
  return { fire, dropped: dropped + from, nextAt: rest ?? slots.next(now) }
}

/** The newest slots that are due, at most `catchUpMax`; from the front as long as there are few, which is nearly always. */
function dueSlots({ slots, nextAt, now, catchUpMax }: SlotsWanted): { due: number[]; dropped: number } {
  const due: number[] = []
  for (let slot: number | null = nextAt; slot !== null && slot <= now; slot = slots.next(slot)) {
    if (due.length === catchUpMax) {
      const newest = slots.newest(catchUpMax, now)
      return { due: newest, dropped: due.filter((old) => old < newest[0]!).length }
    }
    due.push(slot)
  }
  return { due, dropped: 0 }
}
