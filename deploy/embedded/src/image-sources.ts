/** Whether the images of the services are those of the sources that are there: asking the builder takes seconds also when nothing has changed. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { globSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { readDotEnv } from './dot-env.ts'
import { SERVICE_NAMES } from './services.ts'
import type { StackPaths } from './stack-paths.ts'
import { readJson, writeJson } from './stack-state.ts'

/** What was built last, by name and id. */
interface Built {
  sources: string
  images: string[]
}

/** What images are made by, beside the files that .dockerignore lets through. */
const FILES = ['.dockerignore', 'compose/Dockerfile', 'compose/compose.yaml']
const SETTINGS = ['NODE_IMAGE', 'BATON_IMAGE', 'BATON_VERSION']

/** True when the images of all services were built by `make up` from what is there now. */
export function areImagesCurrent(paths: StackPaths, env: NodeJS.ProcessEnv): boolean {
  const built = readJson<Built>(paths.images)
  return built !== undefined && built.sources === digestSources(paths, env) && built.images.join() === findImages(paths, env)?.join()
}

/** Remembers the images that were built now from the sources with the digest that was taken before. */
export function rememberImages(paths: StackPaths, env: NodeJS.ProcessEnv, sources: string): void {
  const images = findImages(paths, env)
  if (images) writeJson(paths.images, { sources, images } satisfies Built)
}

/** A digest of everything that images are built from: names and contents of files, and settings. */
export function digestSources({ root, dotEnv }: StackPaths, env: NodeJS.ProcessEnv): string {
  const file = readDotEnv(dotEnv)
  const hash = createHash('sha256').update(JSON.stringify(SETTINGS.map((name) => env[name] ?? file[name] ?? '')))
  for (const name of [...FILES, ...filesOfContext(root)]) hash.update(`\0${name}\0`).update(readFileSync(join(root, name)))
  return hash.digest('hex')
}

/** The files that .dockerignore lets through: all but those that it names with `!` are left out, and of these again those that it names after them. */
function filesOfContext(root: string): string[] {
  const lines = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n')
  const [first, ...patterns] = lines.filter((line) => line !== '' && !line.startsWith('#'))
  if (first !== '*') throw new Error('.dockerignore is to begin with *')
  const exclude = patterns.filter((pattern) => !pattern.startsWith('!'))
  const files = new Set<string>()
  for (const pattern of patterns.filter((pattern) => pattern.startsWith('!')).map((pattern) => pattern.slice(1)))
    for (const found of globSync([pattern, `${pattern}/**`], { cwd: root, exclude }))
      if (statSync(join(root, found)).isFile()) files.add(found)
  return [...files].sort()
}

/** Names and ids of the images of all services; undefined when one is not there. */
function findImages({ dotEnv }: StackPaths, env: NodeJS.ProcessEnv): string[] | undefined {
  const setting = (name: string, byDefault: string) => env[name] || readDotEnv(dotEnv)[name] || byDefault
  const [image, version] = [setting('BATON_IMAGE', 'baton'), setting('BATON_VERSION', 'dev')]
  const names = SERVICE_NAMES.map((service) => `${image}-${service}:${version}`)
  const { status, stdout } = spawnSync('docker', ['image', 'inspect', '--format', '{{.Id}}', ...names], { env, encoding: 'utf8' })
  const ids = status === 0 ? stdout.trim().split('\n') : []
  return ids.length === names.length ? names.map((name, n) => `${name} ${ids[n]}`) : undefined
}
