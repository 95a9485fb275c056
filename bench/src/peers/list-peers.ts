import { bullmq } from './bullmq.ts'
import { dbos } from './dbos.ts'
import { openworkflow } from './openworkflow.ts'
import type { Peer } from './peer.ts'
import { restate } from './restate.ts'

/** The peers that can be measured, by the names that `--peers` takes. */
export const PEERS = { restate, bullmq, dbos, openworkflow } as const satisfies Record<string, Peer>

export type PeerName = keyof typeof PEERS

/** The peer of a name; undefined when there is none. */
export function findPeer(name: string): Peer | undefined {
  return Object.hasOwn(PEERS, name) ? PEERS[name as PeerName] : undefined
}
