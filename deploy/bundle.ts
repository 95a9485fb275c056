/**
 * Bundles services for images: `node deploy/bundle.ts [--to=<folder>] [service …]`, all of them by default, the one of the working folder as its
 * build script. Makes services/<x>/dist/app/main.js, or <folder>/<x>/app/main.js (one ESM file with everything in it, and its source map), the same for src/migrate.ts where there is one,
 * and services/<x>/dist/migrations, which the code finds beside itself as it does in the sources.
 */
import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join, resolve } from 'node:path'
import { build, type Plugin } from 'esbuild'

const ROOT = resolve(import.meta.dirname, '..')
const SERVICES = join(ROOT, 'services')

/** What CommonJS packages expect to find around them, which ESM does not have. */
const BANNER = [
  "import { createRequire as __createRequire } from 'node:module'",
  'const require = __createRequire(import.meta.url)',
  'const __filename = import.meta.filename',
  'const __dirname = import.meta.dirname',
].join('\n')

/** Optional accelerators and pretty printers that packages load only when somebody installed them. */
const EXTERNAL = ['bufferutil', 'utf-8-validate', 'pino-pretty', '@valkey/valkey-glide', '@redis/client']

/** zod brings its messages in some fifty languages, of which one is spoken here. */
const englishAlone: Plugin = {
  name: 'english-alone',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({ contents: "export { default as en } from './en.js'" }))
  },
}

const CHOSEN = process.argv.slice(2).filter((word) => !word.startsWith('--'))
const TO = process.argv.find((word) => word.startsWith('--to='))?.slice('--to='.length)

function chosenServices(): string[] {
  const all = readdirSync(SERVICES).filter((name) => existsSync(join(SERVICES, name, 'src', 'main.ts')))
  const here = dirname(process.cwd()) === SERVICES ? [basename(process.cwd())] : all
  const chosen = CHOSEN.length > 0 ? CHOSEN : here
  const unknown = chosen.find((name) => !all.includes(name))
  if (unknown) throw new Error(`there is no service ${unknown} with a src/main.ts; there are ${all.join(', ')}`)
  return chosen
}

async function bundle(service: string): Promise<void> {
  const folder = join(SERVICES, service)
  const dist = TO ? resolve(TO, service) : join(folder, 'dist')
  rmSync(dist, { recursive: true, force: true })
  const { errors } = await build({
    entryPoints: ['main.ts', 'migrate.ts'].map((file) => join(folder, 'src', file)).filter((file) => existsSync(file)),
    outdir: join(dist, 'app'),
    splitting: true, // what two programs share is there once
    chunkNames: '[name]-[hash]',
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node26',
    conditions: ['@baton/source'],
    banner: { js: BANNER },
    external: EXTERNAL,
    plugins: [englishAlone],
    // What is not there is not read, parsed and kept: names stay, for stack traces and `keepNames`.
    minifyWhitespace: true,
    minifySyntax: true,
    sourcemap: 'linked',
    sourcesContent: false,
    keepNames: true,
    logLevel: 'warning',
  })
  if (errors.length > 0) throw new Error(`${service} cannot be bundled`)
  cpSync(join(ROOT, 'packages', 'store', 'migrations'), join(dist, 'migrations'), { recursive: true })
  copySwaggerFiles(folder, dist)
}

/** The reference page serves files that its package keeps beside its code, and above it. */
function copySwaggerFiles(folder: string, dist: string): void {
  const require = createRequire(join(folder, 'package.json'))
  let entry: string
  try {
    entry = require.resolve('@fastify/swagger-ui')
  } catch {
    return // not a service with a reference page
  }
  for (const to of [dist, join(dist, 'app')]) cpSync(join(dirname(entry), 'static'), join(to, 'static'), { recursive: true })
}

await Promise.all(
  chosenServices().map(async (service) => {
    await bundle(service)
    console.log(TO ? join(TO, service, 'app/main.js') : `services/${service}/dist/app/main.js`)
  }),
)
