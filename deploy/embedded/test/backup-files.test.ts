import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { recordedProcesses } from '../src/process-identity.ts'
import { ONE_SERVICE, standInCheckout } from './stand-in-checkout.ts'

test('a stack that is down is backed up too, and what is no backup is refused before anything is touched', {
  timeout: 150_000,
}, async (t) => {
  const { root, paths, run } = await standInCheckout(t, ONE_SERVICE)
  t.match(await run('backup'), { code: 1, said: /nothing to back up/ })
  t.match(await run('restore'), { code: 1, said: /make restore FILE=/ })
  t.match(await run('up'), { code: 0 })
  t.match(await run('down'), { code: 0 })
  t.equal(recordedProcesses(paths.pids).size, 0)
  t.match(await run('backup', { FILE: 'backups/cold.tar.gz' }), { code: 0 })
  t.match(await run('backup', { FILE: 'backups/cold.tar.gz' }), { code: 1, said: /there already/ })
  t.match(await run('backup', { FILE: '.local/x.tar.gz' }), { code: 1, said: /make clean removes \.local/ })
  const good = readFileSync(join(root, 'backups/cold.tar.gz'))
  const wrong: [string, Buffer | string, RegExp][] = [
    ['text.tar.gz', 'hello', /is no backup of Baton/],
    ['half.tar.gz', good.subarray(0, good.length / 2), /damaged/],
    ['dump.dump', 'PGDMP...', /is a dump .*the embedded stack takes backups of its own/],
    ['empty.tar.gz', Buffer.from([0x1f, 0x8b, 8, 0, 0]), /no backup of Baton, or is damaged/],
  ]
  for (const [name, content, why] of wrong) {
    writeFileSync(join(root, 'backups', name), content)
    t.match(await run('restore', { FILE: `backups/${name}`, CONFIRM: 'yes' }), { code: 1, said: why }, name)
  }
  t.match(await run('restore', { FILE: 'backups/none', CONFIRM: 'yes' }), { code: 1, said: /cannot be read \(ENOENT\)/ })
  t.match(await run('restore', { FILE: 'backups/cold.tar.gz', CONFIRM: 'yes' }), { code: 0 })
  t.match(await run('up'), { code: 0 })
  // over a stack that runs, and under a key that is another one
  const other = await run('restore', { FILE: 'backups/cold.tar.gz', CONFIRM: 'yes', BATON_MASTER_KEY: 'f'.repeat(64) })
  t.match(other, { code: 0, said: /another one than that of the backup[\s\S]*Baton is up/ }, other.said)
  t.same(readdirSync(join(root, 'backups')).sort(), ['cold.tar.gz', ...wrong.map(([name]) => name)].sort(), 'nothing half-made is left')
})
