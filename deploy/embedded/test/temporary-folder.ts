import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removePlaced } from '../src/unprivileged-account.ts'

/** A folder that is gone after the test, with what a database below it (`postgres`) may have placed elsewhere. */
export function temporaryFolder(t: { teardown(action: () => unknown): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'baton-embedded-'))
  t.teardown(() => {
    removePlaced(join(folder, 'postgres'))
    removePlaced(join(folder, '.local', 'postgres'))
    rmSync(folder, { recursive: true, force: true })
  })
  return folder
}
