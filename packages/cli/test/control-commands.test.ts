/** `baton runs cancel`, `pause`, `resume` and `patch`, against a stub. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { bench } from './bench.ts'

t.test('cancel, pause and resume say what the run is, and what it is about to be', async (t) => {
  // As the API answers: 202 with the run as it still is, 200 with one that is so already.
  const rows: [verb: string, status: string, ending: string | undefined, said: string][] = [
    ['cancel', 'waiting', undefined, 'being cancelled'],
    ['cancel', 'running', 'cancelled', 'being cancelled'],
    ['cancel', 'cancelled', undefined, 'cancelled'],
    ['pause', 'running', undefined, 'being paused'],
    ['pause', 'paused', undefined, 'paused'],
    ['resume', 'paused', undefined, 'being resumed'],
    ['resume', 'waiting', undefined, 'waiting'],
  ]
  let answer: object = {}
  const { server, output, baton } = await bench(t, ({ path }) => ({ body: { id: path.split('/')[4], ...answer } }))
  for (const [verb, status, ending, said] of rows) {
    answer = { status, ...(ending && { ending }) }
    t.equal(await baton(['runs', verb, 'run_1', 'run_2']), 0)
    t.equal(output.out, `run_1 is ${said}\nrun_2 is ${said}\n`, `${verb} of a run that is ${status}`)
    t.same(
      server.requests.slice(-2).map(({ method, path }) => `${method} ${path}`),
      ['run_1', 'run_2'].map((id) => `POST /api/v1/runs/${id}/${verb}`),
    )
  }
  t.equal(await baton(['runs', 'pause', 'run_1', '--json']), 0)
  t.same(JSON.parse(output.out), [{ id: 'run_1', ...answer }])
  t.equal(await baton(['runs', 'pause']), 2, 'which?')
})

t.test('a run that cannot be moved is named, and the others are moved', async (t) => {
  const { output, baton } = await bench(t, ({ path }) => {
    const id = path.split('/')[4]
    if (id !== 'run_2') return { body: { id, status: 'running' } }
    return {
      status: 409,
      body: { title: 'Conflict', status: 409, code: 'BTN_RUN_STATE', detail: 'a run that is succeeded cannot be paused' },
    }
  })
  t.equal(await baton(['runs', 'pause', 'run_1', 'run_2', 'run_3']), 1)
  t.equal(output.out, 'run_1 is being paused\nrun_3 is being paused\n')
  t.match(output.err, /run_2: error: a run that is succeeded cannot be paused/)
})

t.test('a definition is patched with a whole one, or by operations, where it is of the version that was read', async (t) => {
  const { home, server, output, baton } = await bench(t, ({ method, body }) => ({
    body: { definitionVersion: method === 'GET' || (body as { op: string }[])[0]?.op === 'test' ? 3 : 4 },
  }))
  const last = () => server.requests.at(-1)!
  await writeFile(join(home, 'new.yaml'), 'steps:\n  a: { set: { x: 2 } }\n')
  t.equal(await baton(['runs', 'patch', 'run_1', '--definition', '@new.yaml']), 0)
  t.equal(output.out, 'run_1 goes on by version 4\n')
  t.same(
    server.requests.map(({ method, path }) => `${method} ${path}`),
    ['GET /api/v1/runs/run_1/definition', 'PATCH /api/v1/runs/run_1/definition'],
  )
  t.match(last(), { headers: { 'if-match': '"3"' }, body: [{ op: 'replace', path: '', value: { steps: { a: { set: { x: 2 } } } } }] })
  const operations = [{ op: 'remove', path: '/steps/b' }]
  t.equal(
    await baton(['runs', 'patch', 'run_1', '--operations', '-', '--expected', '7', '--json'], { stdin: JSON.stringify(operations) }),
    0,
  )
  t.same(JSON.parse(output.out), { definitionVersion: 4 })
  t.match(last(), { headers: { 'if-match': '"7"' }, body: operations })
  t.equal(server.requests.length, 3, 'nothing is read where the version is named')
  t.equal(await baton(['runs', 'patch', 'run_1', '--operations', '[{"op":"test","path":"/steps/a","value":1}]']), 0)
  t.equal(output.out, 'run_1 keeps version 3 of its definition: nothing changed\n')
  t.equal(await baton(['runs', 'patch', 'run_1']), 2)
  t.equal(await baton(['runs', 'patch', 'run_1', '--definition', '{}', '--operations', '[]']), 2)
  t.equal(server.requests.length, 5)
})
