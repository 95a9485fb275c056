/** What bundle.ts makes: small text for V8, and stack traces that name the sources without the cost of Node's own source maps. */
import { execFileSync } from 'node:child_process'
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import t, { type Test } from 'tap'
import { ROOT, read } from './deploy-settings.ts'

const { bundlePrograms } = (await import(`${ROOT}/deploy/bundle.ts`)) as {
  bundlePrograms(entryPoints: string[], outdir: string): Promise<string[]>
}
const { keep, takeKept } = (await import(`${ROOT}/deploy/kept-bundles.ts`)) as {
  keep(cache: string, service: string, root: string, app: string, inputs: string[]): void
  takeKept(cache: string, service: string, root: string, app: string): boolean
}

const SHARED = `export const message = 'broken'

export async function fail(): Promise<never> {
  await null
  throw new TypeError(message, { cause: new Error('the cause') })
}
`
const MAIN = `import { fail } from './shared.ts'

interface Left { away: true }
type Trace = string | undefined

const told: Trace[] = []
await fail().catch((error: TypeError) => told.push(error.stack, (error.cause as Error).stack))
try {
  JSON.parse('{')
} catch (error) {
  told.push((error as Error).stack)
}
const odd = {} as { stack?: Trace }
Error.captureStackTrace(odd)
told.push(odd.stack)
console.log(JSON.stringify(told))
export type { Left }
`

/** A folder in the checkout with two programs that share a file, bundled. */
async function prepare(t: Test) {
  mkdirSync(join(ROOT, '.local'), { recursive: true })
  const folder = mkdtempSync(join(ROOT, '.local/bundle-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text)
  write('shared.ts', SHARED)
  write('main.ts', MAIN)
  write('other.ts', `import { fail } from './shared.ts'\nawait fail().catch((error: Error) => console.log(error.stack))\n`)
  const app = join(folder, 'dist/app')
  const bundle = (...names: string[]) =>
    bundlePrograms(
      names.map((name) => join(folder, name)),
      app,
    )
  await bundle('main.ts', 'other.ts')
  const run = (name: string) => execFileSync(process.execPath, [join(app, name)], { encoding: 'utf8' })
  return { at: relative(ROOT, folder), app, write, bundle, run }
}

t.test('a stack trace of a bundle names sources, lines and columns, of causes and shared files too', async (t) => {
  const { at, app, run } = await prepare(t)
  const [error, cause, parse, odd] = JSON.parse(run('main.js')) as string[]
  t.match(error!.split('\n'), ['TypeError: broken', `    at fail (${at}/shared.ts:5:9)`, `    at async ${at}/main.ts:7:1`])
  t.match(cause!.split('\n'), ['Error: the cause', `    at fail (${at}/shared.ts:5:41)`, `    at async ${at}/main.ts:7:1`])
  t.match(parse!.split('\n').at(-1), `    at ${at}/main.ts:9:8`)
  t.match(odd!.split('\n'), [/^\S+/, `    at ${at}/main.ts:14:7`])
  t.match(run('other.js'), `    at fail (${at}/shared.ts:5:9)`)
  for (const map of globSync('*.map', { cwd: app })) rmSync(join(app, map))
  t.match(run('other.js'), /^TypeError: broken\n {4}at fail \(file:.*\/dist\/app\/[\w-]+\.js:\d+:\d+\)/, 'without maps it names the bundle')
})

t.test('a bundle with a letter beyond ASCII, which would double the memory of its text, is not made', async (t) => {
  const { app, write, bundle } = await prepare(t)
  write('letters.ts', `/*! by Jörg */\nconsole.log('é', /[a-z]/u.test('x'))\n`)
  await bundle('letters.ts')
  t.match(readFileSync(join(app, 'letters.js'), 'utf8'), '"\\xE9"', 'texts and comments are seen to')
  write('letters.ts', 'console.log(/é/.test("x"))\n')
  await t.rejects(bundle('letters.ts'), { message: /letters\.js is not plain ASCII: .*é/ })
})

t.test('a bundle is kept until one of its sources changes, or what decides how they are bundled', async (t) => {
  const { at, app, write, bundle } = await prepare(t)
  const [cache, again] = [join(ROOT, at, 'cache'), join(ROOT, at, 'again')]
  const take = () => {
    rmSync(again, { recursive: true, force: true })
    return takeKept(cache, 'x', ROOT, again)
  }
  t.notOk(take(), 'nothing is kept yet')
  const inputs = await bundle('main.ts')
  t.ok(inputs.includes(`${at}/shared.ts`))
  keep(cache, 'x', ROOT, app, inputs)
  write('other.ts', 'changed')
  t.ok(take(), 'what did not go into it does not count')
  t.equal(readFileSync(join(again, 'main.js'), 'utf8'), readFileSync(join(app, 'main.js'), 'utf8'))
  write('shared.ts', `${SHARED}\nexport const more = 1\n`)
  t.notOk(take())
  t.notOk(existsSync(again), 'and nothing is left of it')
  write('shared.ts', SHARED)
  t.ok(take(), 'as it was')
  const file = join(cache, 'x/kept.json')
  writeFileSync(file, readFileSync(file, 'utf8').replace(/\[\\"pnpm-lock.yaml\\",\\"\w{4}/, '$&0'))
  t.notOk(take(), 'with another lock file')
})

t.test('images start the services without the source maps of Node', (t) => {
  t.notMatch(read('compose/Dockerfile'), '--enable-source-maps')
  for (const file of globSync('deploy/*.{ts,mjs}', { cwd: ROOT })) t.match(read('.dockerignore'), `!${file}\n`)
  t.end()
})
