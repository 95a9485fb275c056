import type { Logger } from '@baton/runtime'

/** Thrown when the service leaves before what it kept trying has worked. */
export class Leaving extends Error {
  constructor(cause: unknown) {
    super('the service is stopping', { cause })
    this.name = 'Leaving'
  }
}

export interface KeepTryingOptions {
  log: Logger
  /** True once this worker gives up what it holds. */
  leaving(): boolean
  /** Whether an error is one that goes away by itself; all of them unless told. */
  passes?(error: unknown): boolean
}

const RETRY_MS = 500
/** Once a minute it is said again. */
const SAY_EVERY = 120

/** Tries until it works: Postgres or Redis may be away for a while. Throws what does not pass by itself, or Leaving. */
export async function keepTrying<T>(action: () => Promise<T>, options: KeepTryingOptions): Promise<T> {
  for (let failures = 0; ; failures++) {
    try {
      return await action()
    } catch (error) {
      if (options.passes && !options.passes(error)) throw error
      if (options.leaving()) throw new Leaving(error)
      if (failures % SAY_EVERY === 0) options.log.warn({ err: error }, 'something is away, trying again')
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
    }
  }
}
