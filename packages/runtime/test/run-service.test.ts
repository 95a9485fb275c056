/** The life of a process: exit 0 on SIGTERM after its work, exit 1 after an error that nobody caught. */
import { spawn } from 'node:child_process'
import { endProcess, type Teardown, until } from '@baton/testing'
import t from 'tap'

const SERVICE = `
import { createLogger, createService, runService } from '@baton/runtime'
await runService('test', async () => {
  const app = createService({ name: 'test', logger: createLogger({ name: 'test' }), checks: [] })
  app.addHook('preClose', async () => {
    process.stdout.write('work ends\\n')
    await new Promise((resolve) => setTimeout(resolve, 50))
  })
  app.addHook('onClose', () => process.stdout.write('closed\\n'))
  if (process.env.FAIL === 'early') {
    Promise.reject(Object.assign(new Error('nobody held me'), { code: process.env.CODE }))
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  if (process.env.FAIL === 'start') throw new Error('cannot start')
  return { app, host: '127.0.0.1', port: 0, onListening: (url) => {
    process.stdout.write('listening ' + url + '\\n')
    if (process.env.FAIL === 'promise') Promise.reject(Object.assign(new Error('nobody held me'), { code: process.env.CODE }))
    if (process.env.FAIL === 'later') setImmediate(() => { throw new Error('nobody caught me') })
  } }
})`

function start(t: Teardown, env: Record<string, string> = {}) {
  const args = ['--conditions=@baton/source', '--no-warnings', '--input-type=module', '-e', SERVICE]
  const child = spawn(process.execPath, args, {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  t.teardown(() => endProcess(child, 'SIGKILL'))
  let text = ''
  const listening = new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk) => {
      text += chunk
      if (text.includes('listening http')) resolve()
    })
  })
  child.stderr.on('data', (chunk) => {
    text += chunk
  })
  const exited = new Promise((resolve) => child.once('close', (code, signal) => resolve([code, signal])))
  return { child, listening, exited, text: () => text }
}

t.test('SIGTERM ends work, closes and exits 0; more signals do not cut it short', async (t) => {
  const service = start(t)
  await service.listening
  service.child.kill('SIGTERM')
  service.child.kill('SIGINT')
  service.child.kill('SIGTERM')
  t.same(await service.exited, [0, null])
  t.match(service.text(), /work ends.*closed/s)
})

t.test('an uncaught error is logged, the service is closed, and the process exits 1', async (t) => {
  const service = start(t, { FAIL: 'later' })
  t.same(await service.exited, [1, null])
  t.match(service.text(), /nobody caught me/)
  t.match(service.text(), /closed/)
})

t.test('a promise that nobody holds ends the process, unless it tells of a lost connection', async (t) => {
  const broken = start(t, { FAIL: 'promise', CODE: 'BROKEN' })
  t.same(await broken.exited, [1, null])
  t.match(broken.text(), /nobody held me/)
  t.match(broken.text(), /closed/)
  const lost = start(t, { FAIL: 'promise', CODE: '57P01' })
  await lost.listening
  await until(() => lost.text().includes('nobody held me'))
  lost.child.kill('SIGTERM')
  t.same(await lost.exited, [0, null])
})

t.test('the same holds before the service listens: a lost connection is outlived, anything else is why it could not start', async (t) => {
  const broken = start(t, { FAIL: 'early', CODE: 'BROKEN' })
  t.same(await broken.exited, [1, null])
  t.match(broken.text(), /nobody held me.*service could not start/)
  const lost = start(t, { FAIL: 'early', CODE: '57P01' })
  await lost.listening
  t.match(lost.text(), /a connection was lost while it was made/)
  lost.child.kill('SIGTERM')
  t.same(await lost.exited, [0, null])
})

t.test('an error at the start is logged and exits 1', async (t) => {
  const service = start(t, { FAIL: 'start' })
  t.same(await service.exited, [1, null])
  t.match(service.text(), /cannot start/)
})
