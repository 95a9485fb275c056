/** Whether a client got every event of its run once and in order; for many clients that get the same bytes. */
import type { ServerFrame } from '@baton/contracts'

/** What came of one client's events so far. */
export interface Followed {
  /** The seq that has to come next. */
  next: number
  delivered: number
  lost: number
  doubled: number
}

/** A frame that was parsed before: who expects its first seq and gets the same bytes has got the same events. */
interface Known {
  bytes: Buffer
  after: number
}

/** Frames of one topic that were parsed, by the first seq in them. */
export type KnownFrames = Map<number, Known>

const KNOWN_MAX = 4_096

/** A client that follows from a place. */
export function startFollowing(after: number): Followed {
  return { next: after + 1, delivered: 0, lost: 0, doubled: 0 }
}

/**
 * Takes a frame; gives it parsed when it carries no events. Each event counts as one delivered message, however many came in a frame. A
 * frame is parsed once, for the first client that gets it; of the others it is only compared, so that counting is exact and yet cheap.
 */
export function takeFrame(followed: Followed, known: KnownFrames, payload: Buffer): ServerFrame | undefined {
  const seen = known.get(followed.next)
  if (seen?.bytes.equals(payload)) {
    followed.delivered += seen.after - followed.next
    followed.next = seen.after
    return undefined
  }
  const frame = JSON.parse(payload.toString('utf8')) as ServerFrame
  const seqs = seqsOf(frame)
  if (seqs === undefined) return frame
  const first = followed.next
  for (const seq of seqs) takeSeq(followed, seq)
  if (seqs[0] === first && followed.next === first + seqs.length) {
    if (known.size >= KNOWN_MAX) known.clear()
    known.set(first, { bytes: Buffer.from(payload), after: followed.next })
  }
  return undefined
}

function takeSeq(followed: Followed, seq: number): void {
  followed.delivered++
  if (seq < followed.next) {
    followed.doubled++
    return
  }
  followed.lost += seq - followed.next
  followed.next = seq + 1
}

function seqsOf(frame: ServerFrame): number[] | undefined {
  if (frame.type === 'event') return [frame.event.seq]
  return frame.type === 'events' ? frame.events.map(({ seq }) => seq) : undefined
}
