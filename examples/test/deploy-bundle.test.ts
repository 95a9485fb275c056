/** What bundle.ts makes: small text for V8, and stack traces that name the sources without the cost of Node's own source maps. */
import { execFileSync } from 'node:child_process'
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import t, { type Test } from 'tap'
import { ROOT, read } from './deploy-settings.ts'

const { bundlePrograms } = (await import(`${ROOT}/deploy/bundle.ts`)) as {
  bundlePrograms(entryPoints: string[], outdir: string): Promise<void>
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

t.test('images start the services without the source maps of Node', (t) => {
  t.notMatch(read('compose/Dockerfile'), '--enable-source-maps')
  t.match(read('.dockerignore'), '!deploy/name-sources.ts')
  t.end()
})
