/**
 * Bundles services for images: `node deploy/bundle.ts [service …]`, all of them by default, the one of the working folder as its build script.
 * Makes services/<x>/dist/app/main.js (one ESM file with everything in it, and its source map), the same for src/migrate.ts where there is one,
 * and services/<x>/dist/migrations, which the code finds beside itself as it does in the sources; with `--to=<folder>` all of it in <folder>/<x>
 * instead. With `--kept=<folder>` bundles are kept there, and
 * taken from there while their sources are the same.
 */
import { cpSync, existsSync, globSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { keep, takeKept } from './kept-bundles.ts'

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

/** BullMQ can also keep its queues in PostgreSQL, for which it brings a driver and half a megabyte of statements; ours are in Redis. */
const queuesInRedis: Plugin = {
  name: 'queues-in-redis',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]bullmq[\\/]dist[\\/]\w+[\\/]postgres[\\/]index\.js$/ }, () => ({ contents: '' }))
  },
}

/**
 * esbuild escapes letters beyond ASCII everywhere but in regular expressions and comments, and one of them in a file makes V8 keep all of its text
 * with two bytes a letter: four more megabytes of a service.
 */
const plainExpressions: Plugin = {
  name: 'plain-expressions',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/](cel-js[\\/]lib|engine[\\/]src)[\\/][\w-]+\.[jt]s$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8')
      return { contents: text.replaceAll('\u00b5', '\\u00b5'), loader: path.endsWith('.ts') ? 'ts' : 'js' }
    })
  },
}

function chosenServices(): string[] {
  const all = readdirSync(SERVICES).filter((name) => existsSync(join(SERVICES, name, 'src', 'main.ts')))
  const here = dirname(process.cwd()) === SERVICES ? [basename(process.cwd())] : all
  const named = process.argv.slice(2).filter((word) => !word.startsWith('--'))
  const chosen = named.length > 0 ? named : here
  const unknown = chosen.find((name) => !all.includes(name))
  if (unknown) throw new Error(`there is no service ${unknown} with a src/main.ts; there are ${all.join(', ')}`)
  return chosen
}

/**
 * Bundles programs, by their paths, into the folder `outdir` of the checkout; what they share is there once. Throws when one cannot be bundled, or
 * when a letter beyond ASCII got into it. Resolves with the paths in the checkout of all that went into them.
 */
export async function bundlePrograms(entryPoints: string[], outdir: string): Promise<string[]> {
  const { errors, metafile } = await build({
    absWorkingDir: ROOT,
    metafile: true,
    entryPoints,
    outdir,
    splitting: true,
    chunkNames: '[name]-[hash]',
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node26',
    conditions: ['@baton/source'],
    banner: { js: BANNER },
    inject: [join(import.meta.dirname, 'name-sources.ts')],
    define: { BUNDLED_AT: JSON.stringify(relative(ROOT, outdir)) },
    external: EXTERNAL,
    plugins: [englishAlone, queuesInRedis, plainExpressions],
    // What is not there is not read, parsed and kept: names stay, for stack traces and `keepNames`.
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'external', // they name people, whose names are not always ASCII
    sourcemap: 'linked',
    sourcesContent: false,
    keepNames: true,
    logLevel: 'warning',
  })
  if (errors.length > 0) throw new Error(`${entryPoints.join(', ')} cannot be bundled`)
  for (const file of globSync('*.js', { cwd: outdir })) {
    const found = /.{0,40}\P{ASCII}.{0,40}/u.exec(readFileSync(join(outdir, file), 'utf8'))?.[0]
    if (found) throw new Error(`${join(outdir, file)} is not plain ASCII: …${found}… (add the source of it to plainExpressions)`)
  }
  return Object.keys(metafile.inputs)
}

/** Resolves with true when the bundle was made, and not taken from those that are kept. */
async function bundle(service: string, { kept, to }: { kept: string | undefined; to: string | undefined }): Promise<boolean> {
  const folder = join(SERVICES, service)
  const dist = to === undefined ? join(folder, 'dist') : resolve(to, service)
  rmSync(dist, { recursive: true, force: true })
  const programs = ['main.ts', 'migrate.ts'].map((file) => join(folder, 'src', file)).filter((file) => existsSync(file))
  const app = join(dist, 'app')
  const taken = kept !== undefined && takeKept(kept, service, ROOT, app)
  const inputs = taken ? [] : await bundlePrograms(programs, app)
  if (kept !== undefined && !taken) keep(kept, service, ROOT, app, inputs)
  cpSync(join(ROOT, 'packages', 'store', 'migrations'), join(dist, 'migrations'), { recursive: true })
  copySwaggerFiles(folder, dist)
  return !taken
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

if (import.meta.main) {
  const option = (name: string) => process.argv.find((word) => word.startsWith(`--${name}=`))?.slice(`--${name}=`.length)
  const [kept, to] = [option('kept'), option('to')]
  await Promise.all(
    chosenServices().map(async (service) => {
      const made = await bundle(service, { kept, to })
      console.log(`${to === undefined ? `services/${service}/dist` : join(to, service)}/app/main.js${made ? '' : ' (as it was)'}`)
    }),
  )
}
