/**
 * Where calls wait for their host, in lines: first come, first served. They take no slot and their timeout does not run; their entries stay in
 * the stream and are kept alive, so a worker that dies here loses none. The room is bounded; whoever finds it full waits in its slot, which slows
 * the reading of further calls and loses nothing either.
 */
import type { HeldCall } from './held-calls.ts'

export interface Waiter {
  /** Undefined: a call under way that waits for its next page, in its slot. */
  held: HeldCall | undefined
  /** When it first waited for this, ms of the room's clock. */
  since: number
  /** Gives its place back and takes its turn. */
  go(): void
}

/** Those who wait for the same; the first is at 0. */
export interface Line {
  readonly waiters: Waiter[]
}

export interface WaitingRoom {
  /** Tells what becomes of a call whose turn has come: it asks again for all that it needs. */
  onTurn(turn: (held: HeldCall) => void): void
  line(): Line
  /** A line that nobody will wait in any more. */
  close(line: Line): void
  /** Undefined: it waits in the room, and its slot is free. Else it keeps its slot until this resolves. */
  wait(line: Line, held: HeldCall): Promise<void> | undefined
  /** A call under way waits here, in its slot. */
  waitUnderWay(line: Line): Promise<void>
  /** Takes those out for whom `isMeant` is true; nobody gives them a turn until they are put back. */
  takeOut(isMeant: (held: HeldCall) => boolean): { held: HeldCall; putBack(): void; leave(): void }[]
  /** Takes out all that wait to begin. Those in slots are let go, to find that all is over. */
  drain(): HeldCall[]
  /** Calls that wait, in the room and in slots. */
  waiting(line?: Line): number
  now(): number
}

/** `now` is in ms. */
export function createWaitingRoom(max: { calls: number; bytes: number }, now: () => number = () => performance.now()): WaitingRoom {
  const lines = new Set<Line>()
  const since = new WeakMap<HeldCall, number>()
  /** Those who found no place and keep their slots, in the order in which they came. */
  const standing = new Map<Waiter, Line>()
  let calls = 0
  let bytes = 0
  let turn: (held: HeldCall) => void = () => {}

  const enter = (line: Line, held: HeldCall | undefined, go: () => void): Waiter => {
    if (held && !since.has(held)) since.set(held, now())
    const waiter: Waiter = { held, since: (held && since.get(held)) ?? now(), go }
    insert(line, waiter)
    return waiter
  }

  const leave = (size: number) => {
    calls--
    bytes -= size
    const [next] = standing
    if (next === undefined) return
    // It asks again, and finds the place; in its line it stands where it stood.
    const [waiter, line] = next
    remove(line, waiter)
    waiter.go()
  }

  return {
    onTurn(given) {
      turn = given
    },
    line() {
      const line: Line = { waiters: [] }
      lines.add(line)
      return line
    },
    close: (line) => void lines.delete(line),
    wait(line, held) {
      const size = sizeOf(held)
      if (calls < max.calls && bytes + size <= max.bytes) {
        calls++
        bytes += size
        enter(line, held, () => {
          leave(size)
          turn(held)
        })
        return undefined
      }
      const { promise, resolve } = Promise.withResolvers<void>()
      const waiter = enter(line, held, () => {
        standing.delete(waiter)
        resolve()
      })
      standing.set(waiter, line)
      return promise
    },
    waitUnderWay(line) {
      const { promise, resolve } = Promise.withResolvers<void>()
      enter(line, undefined, resolve)
      return promise
    },
    takeOut(isMeant) {
      const found: ReturnType<WaitingRoom['takeOut']> = []
      for (const line of lines) {
        for (const waiter of line.waiters.filter(({ held }) => held !== undefined && isMeant(held))) {
          remove(line, waiter)
          found.push({
            held: waiter.held!,
            putBack: () => insert(line, waiter),
            leave: waiter.go,
          })
        }
      }
      return found
    },
    drain() {
      turn = () => {}
      standing.clear()
      const left: HeldCall[] = []
      for (const line of lines) {
        for (const waiter of line.waiters.filter(({ held }) => held !== undefined)) {
          remove(line, waiter)
          left.push(waiter.held!)
          waiter.go()
        }
      }
      return left
    },
    waiting: (line) => (line ? line.waiters.length : [...lines].reduce((sum, { waiters }) => sum + waiters.length, 0)),
    now,
  }
}

function remove({ waiters }: Line, waiter: Waiter): void {
  const at = waiters.indexOf(waiter)
  if (at >= 0) waiters.splice(at, 1)
}

/** Behind all who have waited as long. */
function insert({ waiters }: Line, waiter: Waiter): void {
  const before = waiters.findLastIndex(({ since }) => since <= waiter.since)
  waiters.splice(before + 1, 0, waiter)
}

/** About the bytes that a call holds on to while it waits. */
function sizeOf({ call }: HeldCall): number {
  return 1_000 + (JSON.stringify(call.request)?.length ?? 0)
}
