import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'tap'
import { checkGivenServers, checkPorts } from '../src/check-ground.ts'
import { lastWords } from '../src/last-words.ts'
import { findFreePort, isPortFree, whoListens } from '../src/ports.ts'
import { rotateLogs } from '../src/rotate-logs.ts'
import { SERVICES } from '../src/services.ts'
import { stackPaths } from '../src/stack-paths.ts'
import { diskFullSentence, explainFileError, StackProblem } from '../src/stack-problem.ts'
import { loadStackSettings } from '../src/stack-settings.ts'
import { takeLock } from '../src/take-lock.ts'
import { temporaryFolder } from './temporary-folder.ts'

test('a port in use is named with the process that has it and the setting that moves ours', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  t.equal(await isPortFree(port), false)
  if (process.platform === 'linux') t.equal(whoListens(port)?.pid, process.pid)
  const paths = stackPaths(temporaryFolder(t))
  const settings = { ...loadStackSettings(paths, {}), portOffset: port - SERVICES.fanout, ownPostgres: false, ownRedis: false }
  await t.rejects(
    checkPorts(paths, settings, ['fanout']),
    new RegExp(`Port ${port} \\(fanout\\) is in use.*BATON_PORT_OFFSET=\\d+ make up`),
  )
  await t.resolves(checkPorts(paths, settings, []))
})

test('a server that was given and does not answer is named', async (t) => {
  const paths = stackPaths(temporaryFolder(t))
  const port = await findFreePort()
  const database = loadStackSettings(paths, { DATABASE_URL: `postgres://me:pw@127.0.0.1:${port}/x` })
  await t.rejects(checkGivenServers(database), new RegExp(`PostgreSQL of DATABASE_URL \\(127.0.0.1:${port}\\) cannot be used`))
  const redis = loadStackSettings(paths, { REDIS_URL: `redis://127.0.0.1:${port}` })
  await t.rejects(checkGivenServers(redis), new RegExp(`Redis of REDIS_URL \\(127.0.0.1:${port}\\) cannot be reached`))
})

test('a full disk and missing rights become a sentence that names the folder', async (t) => {
  const full = explainFileError(Object.assign(new Error('x'), { code: 'ENOSPC' }), '/data')
  t.ok(full instanceof StackProblem)
  t.match(full, { message: diskFullSentence('/data') })
  t.match(explainFileError(Object.assign(new Error('x'), { code: 'EACCES' }), '/data'), { message: /^\/data cannot be written/ })
  const other = new Error('other')
  t.equal(explainFileError(other, '/data'), other)
})

test('only one command at a time holds the lock, and one whose holder died is taken over', async (t) => {
  const file = join(temporaryFolder(t), 'lock')
  writeFileSync(file, JSON.stringify({ pid: process.pid, start: 'an earlier life' }))
  const unlock = await takeLock(file, () => t.fail('nobody to wait for'))
  let waitedFor = 0
  let second = false
  const waiting = takeLock(file, (pid) => {
    waitedFor = pid
    t.equal(second, false)
    unlock()
  }).then((release) => {
    second = true
    release()
  })
  await waiting
  t.equal(waitedFor, process.pid)
  t.notOk(existsSync(file))
})

test('a log that grew too large is set aside, and the program goes on writing into the same file', async (t) => {
  const folder = temporaryFolder(t)
  const file = join(folder, 'x.log')
  for (const text of ['first', 'second', 'third', 'fourth', 'fifth']) {
    writeFileSync(file, text)
    rotateLogs(folder, 4)
  }
  t.equal(readFileSync(file, 'utf8'), '')
  t.same(
    [1, 2, 3].map((age) => readFileSync(`${file}.${age}`, 'utf8')),
    ['fifth', 'fourth', 'third'],
  )
  t.notOk(existsSync(`${file}.4`))
  writeFileSync(file, 'abc')
  rotateLogs(folder, 4)
  t.equal(readFileSync(file, 'utf8'), 'abc')
})

test('the last words of a log are the error in it, readable', async (t) => {
  const file = join(temporaryFolder(t), 'x.log')
  writeFileSync(file, '{"msg":"starting"}\n{"level":60,"msg":"cannot listen","err":{"message":"in use"}}\n{"msg":"bye"}\n')
  t.equal(lastWords(file), 'cannot listen: in use')
  t.equal(lastWords(`${file}.missing`), '')
  writeFileSync(file, 'these settings are missing or wrong:\n  BATON_X is wrong: a number\n')
  t.equal(lastWords(file), 'these settings are missing or wrong: BATON_X is wrong: a number', 'a heading comes with what it announces')
  writeFileSync(file, 'these settings are missing or wrong:\n  BATON_X is required\n')
  t.equal(lastWords(file), 'these settings are missing or wrong: BATON_X is required')
})
