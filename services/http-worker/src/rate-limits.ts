/** `HTTP_WORKER_RATE_LIMITS`: how often a host may be called. */

export interface RateLimit {
  /** Between two calls, µs. */
  intervalUs: number
  /** Calls that may be made at once: what a tenth of a second brings, at least one. In t seconds there are never more than rate · t + burst. */
  burst: number
}

const UNITS = { s: 1_000_000, m: 60_000_000, h: 3_600_000_000 } as const
const ENTRY = /^((?:\*\.)?[a-z0-9_.-]+|\[[0-9a-f:.]+\])=([0-9]{1,7})\/(s|m|h)$/i
const BURST_US = 100_000

export type RateLimits = ReadonlyMap<string, RateLimit>

/** `api.example.com=10/s,*.slow.example=60/m`: limits by host, or by `*.` and a domain. Throws an Error that names what cannot be read. */
export function parseRateLimits(text: string): RateLimits {
  const limits = new Map<string, RateLimit>()
  for (const entry of text.split(',').map((one) => one.trim())) {
    if (entry === '') continue
    const [, host, count, unit] = ENTRY.exec(entry) ?? []
    if (host === undefined || Number(count) === 0)
      throw new Error(`${JSON.stringify(entry)} is not like api.example.com=10/s or *.example.com=60/m (s, m or h)`)
    const intervalUs = UNITS[unit!.toLowerCase() as keyof typeof UNITS] / Number(count)
    limits.set(host.toLowerCase(), { intervalUs, burst: Math.max(1, Math.floor(BURST_US / intervalUs)) })
  }
  return limits
}

/** The limit of a host (lower case, without its port): its own, or that of the nearest domain above it. */
export function limitOf(limits: RateLimits, host: string): RateLimit | undefined {
  const own = limits.get(host)
  if (own) return own
  for (let dot = host.indexOf('.'); dot >= 0; dot = host.indexOf('.', dot + 1)) {
    const limit = limits.get(`*${host.slice(dot)}`)
    if (limit) return limit
  }
  return undefined
}
