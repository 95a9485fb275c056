/** The door of the profile `tls`: a real nginx with the configuration of compose/tls in front of the services. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { createClient } from '@baton/client'
import { endProcess, findFreePort, type Teardown, until } from '@baton/testing'
import { test } from 'tap'
import { read } from './deploy-settings.ts'
import { type Stack, startStack } from './start-stack.ts'

const NGINX = ['/usr/sbin/nginx', 'nginx'].find((path) => spawnSync(path, ['-v']).status === 0)
const HAS_OPENSSL = spawnSync('openssl', ['version']).status === 0
const missing = NGINX === undefined ? 'there is no nginx' : HAS_OPENSSL ? false : 'there is no openssl'
const PROMISED = {
  'strict-transport-security': 'max-age=31536000; includeSubDomains',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
}

/** Starts nginx on a free port, with the names of compose replaced by the addresses of the stack. Gives its host and port. */
async function startNginx(t: Teardown, stack: Stack): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'baton-nginx-'))
  const port = await findFreePort()
  const subject = [
    '-subj',
    '/CN=localhost',
    '-addext',
    'subjectAltName=IP:127.0.0.1',
    '-keyout',
    join(folder, 'tls.key'),
    '-out',
    join(folder, 'tls.crt'),
  ]
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', ...subject], { stdio: 'ignore' })
  setDefaultCACertificates([...getCACertificates('default'), readFileSync(join(folder, 'tls.crt'), 'utf8')])
  const version = /nginx\/1\.(\d+)/.exec(spawnSync(NGINX!, ['-v'], { encoding: 'utf8' }).stderr)?.[1]
  const text = read('compose/tls/nginx.conf')
    .replaceAll('/tmp/', `${folder}/`)
    .replaceAll('/etc/nginx/tls', folder)
    .replace('listen 8443', `listen 127.0.0.1:${port}`)
    .replace(/^\s*resolver .*$/m, '')
    .replace('http://orchestrator:8081', stack.url)
    .replaceAll('http://fanout:8085', stack.liveUrl)
    .replace(/^\s*http2 on;$/m, (line) => (Number(version) >= 25 ? line : '')) // as a directive of its own since 1.25
  writeFileSync(join(folder, 'nginx.conf'), text)
  const nginx: ChildProcess = spawn(NGINX!, ['-e', 'stderr', '-c', join(folder, 'nginx.conf'), '-g', 'daemon off;'], { stdio: 'inherit' })
  t.teardown(async () => {
    await endProcess(nginx, 'SIGQUIT')
    rmSync(folder, { recursive: true })
  })
  const address = `127.0.0.1:${port}`
  await until(async () => (await ask(address, '/healthz').catch(() => null))?.status === 200, { what: 'nginx to listen' })
  return address
}

interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: string
}

/** One request over TLS. `enough` ends a stream early. */
function ask(
  address: string,
  path: string,
  { key, method = 'GET', body, enough }: { key?: string; method?: string; body?: unknown; enough?: (text: string) => boolean } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { ...(key ? { authorization: `Bearer ${key}` } : {}), ...(body ? { 'content-type': 'application/json' } : {}) }
    const asked = request(`https://${address}${path}`, { method, headers }, (answer) => {
      let text = ''
      const done = () => resolve({ status: answer.statusCode!, headers: answer.headers, body: text })
      answer.on('data', (chunk) => {
        text += chunk
        if (!enough?.(text)) return
        done()
        asked.destroy()
      })
      answer.on('end', done)
    })
    asked.on('error', reject)
    asked.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

test('API, WebSocket and SSE through nginx, with the headers that are promised', { skip: missing, timeout: 120_000 }, async (t) => {
  const stack = await startStack(t)
  const address = await startNginx(t, stack)
  const key = stack.adminKey
  const client = createClient({ url: stack.url, fanoutUrl: stack.liveUrl, key })
  await client.workflows.put('gate', { steps: [{ id: 'ask', approval: { title: 'Go on?', allowSelf: true } }] })

  const socket = new WebSocket(`wss://${address}/ws?token=${key}`)
  t.teardown(() => socket.close())
  const frames: string[] = []
  socket.addEventListener('message', ({ data }) => void frames.push(String(data)))
  await once(socket, 'open')

  const born = await ask(address, '/api/v1/workflows/gate/runs', { key, method: 'POST', body: { input: {} } })
  t.match(born, { status: 202, headers: PROMISED }, 'a run is started through the door')
  const { id } = JSON.parse(born.body) as { id: string }
  socket.send(JSON.stringify({ type: 'subscribe', topic: `run:${id}`, after: 0 }))
  await until(() => frames.some((frame) => frame.includes('approval.opened')), { what: 'live events over the WebSocket' })

  const opened = await ask(address, `/sse/runs/${id}?token=${key}`, { enough: (text) => text.includes('approval.opened') })
  t.match(
    opened,
    { status: 200, headers: { ...PROMISED, 'content-type': /text\/event-stream/ } },
    'events over SSE, while the stream is open',
  )

  const waiting = ask(address, `/api/v1/runs/${id}?wait=30s`, { key })
  const decided = await ask(address, `/api/v1/runs/${id}/approvals/ask/decision`, { key, method: 'POST', body: { decision: 'approve' } })
  t.equal(decided.status, 200)
  t.match(JSON.parse((await waiting).body), { status: 'succeeded' }, 'who waits for the end of a run is answered')

  t.match(await ask(address, '/api/v1/runs'), { status: 401, headers: { ...PROMISED, 'x-request-id': String } }, 'errors carry them too')
  for (const path of ['/metrics', '/ready', '/health']) t.equal((await ask(address, path)).status, 404, `${path} is for the inside`)
  t.notOk((await ask(address, '/healthz')).headers['server']?.includes('/'), 'no version is told')
})
