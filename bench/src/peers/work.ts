/** The worker process of a peer: `node work.ts <peer>`, told by its parent where everything is. Ends with its parent. */
import { once } from 'node:events'
import { findPeer } from './list-peers.ts'
import type { Place } from './peer.ts'

process.once('disconnect', () => process.exit(0))
const [place] = (await once(process, 'message')) as [Place]
await findPeer(process.argv[2] ?? '')!.work(place)
process.send?.('ready')
