/**
 * Transactions, each on a client of one connection. postgres.js offers two ways that both lose work: `sql.begin` can throw
 * UNSAFE_TRANSACTION on the pipeline boundary, and `sql.reserve` on a pool goes on after its socket died, outside any transaction, on
 * whatever the pool connected next. A client of one connection tells us when *its* connection closed; it is then thrown away.
 */
import type { ReservedSql } from 'postgres'
import type { Db, Sql } from './connect.ts'
import { ConnectionLost, StatementTimeout } from './errors.ts'

interface Lane {
  sql: Sql
  closed: boolean
}

export interface Lanes {
  run<T>(action: (tx: Db) => Promise<T>): Promise<T>
  end(options?: { timeout?: number }): Promise<void>
}

/** Up to `max` transactions at a time; further ones wait their turn, for `waitMs` where it is given: then they throw StatementTimeout. */
export function openLanes(max: number, open: (onclose: () => void) => Sql, waitMs?: number): Lanes {
  const idle: Lane[] = []
  const waiting: (() => void)[] = []
  let busy = 0
  let ended = false

  function newLane(): Lane {
    const markClosed = () => {
      lane.closed = true
    }
    const lane: Lane = { closed: false, sql: open(markClosed) }
    return lane
  }

  async function take(): Promise<Lane> {
    while (busy >= max) await waitForTurn()
    if (ended) throw new ConnectionLost('the pool was closed')
    busy += 1
    return idle.pop() ?? newLane()
  }

  function waitForTurn(): Promise<void> {
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined
      const turn = () => {
        clearTimeout(timer)
        resolve()
      }
      waiting.push(turn)
      if (waitMs === undefined) return
      timer = setTimeout(() => {
        waiting.splice(waiting.indexOf(turn), 1)
        reject(new StatementTimeout('no connection for a transaction became free in time'))
      }, waitMs)
    })
  }

  function giveBack(lane: Lane, healthy: boolean): void {
    busy -= 1
    if (healthy && !ended) idle.push(lane)
    else void lane.sql.end({ timeout: 0 })
    waiting.shift()?.()
  }

  return {
    async run(action) {
      const lane = await take()
      let healthy = false
      try {
        const reserved = await lane.sql.reserve()
        lane.closed = false // an idle connection may have closed and come back meanwhile
        const result = await runOn(lane, reserved, action)
        healthy = !lane.closed
        if (healthy) reserved.release()
        if (result.ok) return result.value
        throw result.error
      } finally {
        giveBack(lane, healthy)
      }
    },
    async end(options) {
      ended = true
      for (const resolve of waiting.splice(0)) resolve()
      await Promise.all(idle.splice(0).map((lane) => lane.sql.end(options)))
    },
  }
}

type Result<T> = { ok: true; value: T } | { ok: false; error: unknown }

async function runOn<T>(lane: Lane, reserved: ReservedSql, action: (tx: Db) => Promise<T>): Promise<Result<T>> {
  const tx = guard(lane, reserved)
  try {
    await tx`begin`
    const value = await action(tx)
    await tx`commit`
    return { ok: true, value }
  } catch (error) {
    if (lane.closed) return { ok: false, error }
    await reserved`rollback`.catch(() => {
      lane.closed = true
    })
    return { ok: false, error }
  }
}

/** The reserved connection, refusing every statement after its socket has closed. */
function guard(lane: Lane, reserved: ReservedSql): Db {
  const check = () => {
    if (lane.closed) throw new ConnectionLost('the connection of the transaction closed')
  }
  return new Proxy(reserved as unknown as Db, {
    apply(target, self, args) {
      check()
      return Reflect.apply(target as never, self, args)
    },
    get(target, key, receiver) {
      if (key === 'unsafe') check()
      return Reflect.get(target, key, receiver)
    },
  })
}
