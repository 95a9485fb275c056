/** Reads of secrets, kept for some seconds: a burst of calls with one API key is one query. A change is seen when the time is up. */

/** Values of the secrets that exist, by name. */
export type ReadSecrets = (namespace: string, names: readonly string[]) => Promise<ReadonlyMap<string, string>>

const ENTRIES_MAX = 1_000

/** Only what exists is kept, so that a secret that has just been made is found at once. */
export function createSecretsCache(read: ReadSecrets, keepMs: number, now: () => number = Date.now): ReadSecrets {
  const known = new Map<string, { value: string; until: number }>()
  return async (namespace, names) => {
    const time = now()
    const values = new Map<string, string>()
    const missing: string[] = []
    for (const name of names) {
      const entry = known.get(`${namespace}/${name}`)
      if (entry && entry.until > time) values.set(name, entry.value)
      else missing.push(name)
    }
    if (missing.length === 0) return values
    for (const [name, value] of await read(namespace, missing)) {
      values.set(name, value)
      if (keepMs === 0) continue
      if (known.size >= ENTRIES_MAX) known.delete(known.keys().next().value!)
      known.set(`${namespace}/${name}`, { value, until: time + keepMs })
    }
    return values
  }
}
