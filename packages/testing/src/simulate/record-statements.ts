/** Every statement on the tables of a simulation, with its answer: to be put to a real Postgres afterwards. */
import type { Tables } from './memory-tables.ts'

export interface Statement {
  name: string
  args: unknown[]
  answer: unknown
  /** The clock of Postgres, ms since 1970. */
  now: number
}

const STATEMENTS = [
  'createRun',
  'createFork',
  'acceptEvents',
  'commit',
  'addToInbox',
  'vote',
  'loadHeaders',
  'loadEvents',
  'loadInbox',
  'due',
  'nextInMs',
  'stale',
  'unstarted',
  'active',
  'isWanted',
  'putSnapshot',
  'removeSnapshots',
  'snapshotOf',
] as const satisfies readonly (keyof Tables)[]

/** The same tables; what is asked of them is put down. */
export function recordStatements(tables: Tables, statements: Statement[]): Tables {
  const recorded = { ...tables }
  for (const name of STATEMENTS) {
    const ask = tables[name].bind(tables) as (...args: unknown[]) => unknown
    const record = (...args: unknown[]) => {
      const now = tables.now()
      const asked = structuredClone(args)
      const answer = ask(...args)
      statements.push({ name, args: asked, answer: structuredClone(answer), now })
      return answer
    }
    Object.assign(recorded, { [name]: record })
  }
  return recorded
}
