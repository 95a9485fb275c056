/** What the doctor found out about one thing. `warning`s leave the exit code at 0; `skipped` could not be looked at. */
export interface Finding {
  check: string
  status: 'ok' | 'warning' | 'problem' | 'skipped'
  /** What was seen. */
  found: string
  /** What to do about it. */
  fix?: string
}

/** All is well. */
export const ok = (check: string, found: string): Finding => ({ check, status: 'ok', found })

/** Something that will hurt at some time. */
export const warning = (check: string, found: string, fix: string): Finding => ({ check, status: 'warning', found, fix })

/** Something that hurts now, or loses what must not be lost. */
export const problem = (check: string, found: string, fix: string): Finding => ({ check, status: 'problem', found, fix })

/** Not looked at, and what it takes. */
export const skipped = (check: string, found: string): Finding => ({ check, status: 'skipped', found })

/** A finding by two bounds: well below `warnFrom`, a problem from `failFrom` on. */
export function byLevel(check: string, value: number, bounds: { warnFrom: number; failFrom: number }, found: string, fix: string): Finding {
  if (value >= bounds.failFrom) return problem(check, found, fix)
  return value >= bounds.warnFrom ? warning(check, found, fix) : ok(check, found)
}

/** What an error says, also that of a refused connection, which has no message. */
export function reasonOf(error: unknown): string {
  const { message, code, errors } = (error ?? {}) as { message?: string; code?: string; errors?: Error[] }
  return message || errors?.[0]?.message || code || String(error)
}
