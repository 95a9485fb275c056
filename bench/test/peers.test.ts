import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findFreePort } from '@baton/testing'
import { test } from 'tap'
import type { RunRequest } from '../src/engine.ts'
import { createTargetCaller } from '../src/peers/call-target.ts'
import { connectControl, serveControl } from '../src/peers/control.ts'
import { installPeer } from '../src/peers/install-peer.ts'
import { PEERS } from '../src/peers/list-peers.ts'
import { loadPackage } from '../src/peers/load-package.ts'
import { startTarget } from '../src/start-target.ts'

const RUN: RunRequest = { workflow: 'sequence', tag: 'b1', id: 'b1-0', delayMs: 5 }

test('a package is loaded from the folder of its peer, also one that can only be imported', async (t) => {
  const folder = t.testdir()
  const place = join(folder, 'node_modules', 'only-esm')
  mkdirSync(place, { recursive: true })
  writeFileSync(join(place, 'package.json'), '{"type":"module","exports":{".":{"import":"./index.js"},"./part":{"import":"./part.js"}}}')
  writeFileSync(join(place, 'index.js'), 'export const answer = 42')
  writeFileSync(join(place, 'part.js'), "export { answer } from 'only-esm'; export const part = true")
  t.equal((await loadPackage<{ answer: number }>(folder, 'only-esm')).answer, 42)
  t.match(await loadPackage(folder, 'only-esm/part'), { part: true, answer: 42 })
  await t.rejects(loadPackage(folder, 'not-there'), { code: 'ERR_MODULE_NOT_FOUND' })
})

test('versions of peers are exact, so that two machines measure the same', (t) => {
  for (const [name, peer] of Object.entries(PEERS)) {
    for (const version of Object.values(peer.packages)) t.match(version, /^\d+\.\d+\.\d+$/, name)
  }
  t.end()
})

test('what cannot be installed is said with the reason of npm, and is tried again', async (t) => {
  const folder = join(t.testdir(), 'broken')
  const peer = { ...PEERS.bullmq, title: 'Broken', packages: { 'a-file': 'file:./not-there.tgz' } }
  await t.rejects(installPeer(peer, folder), { message: /^Broken could not be installed from npm: npm error/ })
  await t.rejects(installPeer(peer, folder), { message: /could not be installed/ })
})

test('a library is started and asked over HTTP, and its errors come back', async (t) => {
  const port = await findFreePort()
  const heard: [string, RunRequest][] = []
  const hear = (name: string) => async (run: RunRequest) => void heard.push([name, run])
  const server = await serveControl(port, {
    start: hear('start'),
    run: () => Promise.reject(new Error('out of order')),
    approve: hear('approve'),
  })
  const client = connectControl(port, async () => 7)
  await client.start(RUN)
  await client.approve(RUN)
  t.same(heard, [
    ['start', RUN],
    ['approve', RUN],
  ])
  await t.rejects(client.run(RUN), { message: /answered 500: Error: out of order/ })
  t.equal(await client.done('b1'), 7)
  await client.close()
  server.closeAllConnections()
  server.close()
})

test('the step of every peer calls the target, which takes as long as it is told', async (t) => {
  const target = await startTarget()
  t.teardown(() => target.stop())
  const call = createTargetCaller(target.url)
  const begunAt = performance.now()
  t.same(await call({ ...RUN, delayMs: 60 }, 's0'), { ok: true, value: 42 })
  t.ok(performance.now() - begunAt >= 55)
  await call(RUN, 's0')
  const seen = await target.seen('b1')
  t.equal(seen['b1-0']?.s0?.length, 2)
  await t.rejects(target.until('b1', 2, 30), { message: 'fewer than 2 steps were called within 30 ms' })
  const second = target.until('b1', 2, 5_000)
  await call(RUN, 's1')
  await second
})
