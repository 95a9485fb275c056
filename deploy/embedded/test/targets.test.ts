import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'tap'
import { isAlive, recordedProcess, recordedProcesses } from '../src/process-identity.ts'
import { readState } from '../src/stack-state.ts'
import { standInCheckout } from './stand-in-checkout.ts'

const CHECKOUT = resolve(import.meta.dirname, '../../..')
const has = (program: string) => spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0

test('restart, scale, psql and redis-cli on a running stack of processes', { timeout: 100_000 }, async (t) => {
  const { root, paths, run } = await standInCheckout(t)
  for (const [command, settings] of [
    ['restart', {}],
    ['scale', { S: 'http-worker', N: '2' }],
  ] as const)
    t.match(await run(command, settings), { code: 1, said: /Nothing is running: .*make up/ })
  t.match(await run('migrate'), { code: 1, said: /does not run: make up starts it, and migrates by itself/ })
  t.match(await run('up'), { code: 0 })
  const pidsOf = () => Object.fromEntries([...recordedProcesses(paths.pids)].map(([name, { pid }]) => [name, pid]))

  const before = pidsOf()
  t.match(await run('restart', { S: 'fanout' }), { code: 0, said: /fanout +ready/ })
  const one = pidsOf()
  t.not(one['fanout'], before['fanout'])
  t.same({ ...one, fanout: 0 }, { ...before, fanout: 0 }, 'nothing else was touched')
  t.match(await run('restart'), { code: 0 })
  const all = pidsOf()
  for (const name of Object.keys(before)) t.equal(all[name] === one[name], ['postgres', 'redis', 'supervisor'].includes(name), name)
  t.match(await run('restart', { S: 'nobody' }), { code: 1, said: /no service "nobody"; there are orchestrator/ })

  const workers = () => (readState(paths)?.programs ?? []).filter(({ service }) => service === 'http-worker').map(({ name }) => name)
  t.match(await run('scale', { S: 'http-worker', N: '3' }), { code: 0, said: /3 replicas.*HTTP_WORKER_REPLICAS=3 in \.env/ })
  t.same(workers(), ['http-worker', 'http-worker-2', 'http-worker-3'])
  const kept = recordedProcess(paths.pids, 'http-worker')?.pid
  t.match(await run('scale', { S: 'http-worker', N: '1' }), { code: 0, said: /1 replica\./ })
  t.same(workers(), ['http-worker'])
  t.equal(recordedProcess(paths.pids, 'http-worker')?.pid, kept, 'the one that stays was not restarted')
  t.notOk(existsSync(`${paths.pids}/http-worker-2`))
  t.match(await run('scale', { S: 'http-worker', N: 'many' }), { code: 1, said: /whole number from 0 to 64/ })
  t.match(await run('scale', { S: 'http-worker' }), { code: 1, said: /make scale S=http-worker N=5/ })
  await run('scale', { S: 'fanout', N: '2' })
  t.match(await run('up'), { code: 0, said: /The stack is running/ })
  t.equal((readState(paths)?.programs ?? []).filter(({ service }) => service === 'fanout').length, 1, 'make up goes back to the settings')

  const doctor = await run('doctor')
  t.match(
    doctor,
    { code: 1, said: /ok +postgres version +18[\s\S]*PROBLEM schema[\s\S]*ok +redis eviction[\s\S]*ok +master key/ },
    doctor.said,
  )
  if (has('psql'))
    t.match(await run('psql', {}, ['-Atc', "select current_user || '@' || current_database()"]), { code: 0, said: /^baton@baton$/m })
  t.match(await run('psql', { PATH: '/nowhere' }), { code: 1, said: /psql is not on PATH: install/ })
  if (has('redis-cli')) t.match(await run('redis-cli', {}, ['--no-auth-warning', 'ping']), { code: 0, said: /^PONG$/m })
  t.match(await run('redis-cli', { PATH: '/nowhere' }), { code: 1, said: /redis-cli is not on PATH: install/ })
  t.match(await run('build', { PATH: '/nowhere' }), { code: 1, said: /No container engine.*BATON_MODE=local make up/ })
  t.match(await run('up', { PATH: '/nowhere', BATON_MODE: 'docker' }, ['--images']), { code: 1, said: /no docker on PATH/ })
  t.equal(readState(paths)?.mode, 'local', 'what runs is not forgotten over containers that never began')

  // an engine that fails: the state names containers from then on, and the processes are ended all the same
  const engine = `#!/bin/sh
case "$*" in
  *' ps '*) printf 'postgres|running|healthy||0\\nmigrate|exited|||1\\norchestrator|created|||0\\nredis|exited|||0\\nprometheus|running|||0\\n' ;;
  *' logs '*) echo "asked for:$*" ;;
  *) exit 1 ;;
esac
`
  writeFileSync(join(root, 'docker'), engine, { mode: 0o755 })
  const failing = { PATH: `${root}:${process.env['PATH']}` }
  t.match(await run('up', { ...failing, BATON_MODE: 'docker' }, ['--images']), {
    code: 1,
    said: /asked for:.*--tail 15 migrate orchestrator\n[\s\S]*did not come up healthy/, // the last words of those that are to blame, and of no other
  })
  const everything = recordedProcesses(paths.pids)
  t.ok(everything.has('supervisor'))
  t.match(await run('down', failing), { code: 1, said: /containers could not be stopped/ })
  for (const [name, identity] of everything) t.equal(isAlive(identity), false, `${name} is gone`)
  writeFileSync(join(root, 'docker'), '#!/bin/sh\n')
  t.match(await run('down', failing), { code: 0, said: /has stopped/ }, 'what is left of the containers was not forgotten')
  t.match(await run('down', failing), { code: 0, said: /Nothing was running/ })
})

test('each target of make is told by make help, and the same word works with npm', (t) => {
  const makefile = readFileSync(resolve(CHECKOUT, 'Makefile'), 'utf8')
  const { scripts } = JSON.parse(readFileSync(resolve(CHECKOUT, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
  const targets = 'up down restart logs health build clean dev prod scale backup restore psql redis-cli migrate doctor demo'.split(' ')
  for (const target of targets) {
    t.match(makefile, new RegExp(`^${target}: .*## \\S`, 'm'), `make ${target}`)
    t.match(scripts[target === 'build' ? 'images' : target], `make ${target}`, `npm run ${target}`)
  }
  t.end()
})
