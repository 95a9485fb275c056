/** Entries of an earlier life of this runner, or of one that shares the lane, that readers may still be at. */
const ENTRIES_MIN = 100
const COMPACT_AT = 1_024

/**
 * Bounds a stream by bytes, which XADD can bound by entries alone: an entry holds one event on an idle stack and hundreds on a busy one. Told the
 * bytes of each entry that is added, it gives how many of the newest entries stay within `bytesMax`.
 */
export function boundEvents(bytesMax: number): (bytes: number) => number {
  let sizes: number[] = []
  let first = 0
  let total = 0
  return (bytes) => {
    sizes.push(bytes)
    total += bytes
    while (total > bytesMax && first < sizes.length - 1) total -= sizes[first++]!
    if (first >= COMPACT_AT) {
      sizes = sizes.slice(first)
      first = 0
    }
    return Math.max(ENTRIES_MIN, sizes.length - first)
  }
}
