/** Preloaded (`--import`) into a service whose clock is to be wrong: everything that asks for the time of day is told SKEW_MS more. */
const skewMs = Number(process.env.SKEW_MS ?? 0)
const RealDate = Date

class SkewedDate extends RealDate {
  constructor(...parts: unknown[]) {
    if (parts.length === 0) super(RealDate.now() + skewMs)
    else super(...(parts as [number]))
  }

  static override now(): number {
    return RealDate.now() + skewMs
  }
}

globalThis.Date = SkewedDate as DateConstructor
