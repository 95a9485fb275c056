/** Which stored payloads the events of a decision refer to. */
import { isBlobRef, type Json, type StoredEvent } from '@baton/contracts'
import type { RunHeader } from '@baton/engine'
import type { BlobUse } from '@baton/store'

/**
 * References stand as the input or output of an event, or as the answer and the callback of a step that waits for both; those inside the outputs of a container were given by its inner steps before. With its
 * first decision a run also uses its own input.
 */
export function blobUsesOf(header: RunHeader, fromSeq: number, events: readonly StoredEvent[]): BlobUse[] {
  const uses: BlobUse[] = []
  const note = (value: Json | object | undefined) => {
    if (value !== undefined && isBlobRef(value as Json)) {
      uses.push({ namespace: header.namespace, sha256: (value as { $blob: string }).$blob, runId: header.runId })
    }
  }
  if (fromSeq === 1 && events.length > 0) note(header.input)
  for (const { data } of events) {
    note(data.input)
    note(data.output)
    note(data.call)
    note(data.callback)
  }
  return uses
}
