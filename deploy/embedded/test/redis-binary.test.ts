import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { explainApt, findRedisCli } from '../src/redis-binary.ts'
import { temporaryFolder } from './temporary-folder.ts'

test('redis-cli is the one on PATH or, else, the one that came with an unpacked redis-server', async (t) => {
  const folder = temporaryFolder(t)
  const { PATH } = process.env
  t.teardown(() => {
    process.env.PATH = PATH
  })
  process.env.PATH = '/nowhere'
  t.equal(findRedisCli(folder), undefined)
  writeFileSync(join(folder, 'redis-cli'), '#!/bin/sh\n', { mode: 0o755 })
  t.equal(findRedisCli(folder), join(folder, 'redis-cli'))
})

test('why apt-get brings nothing is told apart', async (t) => {
  const told = (stderr: string) => explainApt(Object.assign(new Error('Command failed: apt-get'), { stderr }))
  t.match(told('E: Unable to locate package redis-server'), /as root, apt-get update/)
  t.match(told("Err:1 http://apt.example\n  Could not resolve 'apt.example'\nE: Unable to locate package redis-server"), /no network/)
  t.match(told('dpkg-deb: error: No space left on device'), /the disk is full/)
  t.match(told('E: something else'), /E: something else/)
})
