/**
 * Waits until `check` gives something truthy, and gives that. It is asked at once, then after 1 ms, 2 ms … at most 50 ms. Throws when
 * `timeoutMs` (10 s) is over, with the last error of `check` as cause.
 */
export async function until<T>(
  check: () => T | Promise<T>,
  options: { timeoutMs?: number; what?: string } = {},
): Promise<NonNullable<Exclude<T, false | 0 | ''>>> {
  const deadline = performance.now() + (options.timeoutMs ?? 10_000)
  let cause: unknown
  for (let pauseMs = 1; ; pauseMs = Math.min(50, pauseMs * 2)) {
    try {
      const value = await check()
      if (value) return value as NonNullable<Exclude<T, false | 0 | ''>>
      cause = undefined
    } catch (error) {
      cause = error
    }
    if (performance.now() > deadline) throw new Error(`waited in vain for ${options.what ?? check.toString().slice(0, 200)}`, { cause })
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}
