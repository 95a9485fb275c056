/**
 * Bundles that were made before, for image builds: a service whose sources are as they were is not bundled again, which takes seconds of CPU for
 * each. A bundle depends on the sources that went into it, and on what decides where they are and what they become (`base`).
 */
import { createHash } from 'node:crypto'
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

interface Kept {
  base: string
  /** Digests of our sources, by their paths in the checkout; packages of others are as the lock file says. */
  sources: Record<string, string>
}

const BASE = ['pnpm-lock.yaml', 'tsconfig.base.json', 'package.json', '{packages,services}/*/package.json', 'deploy/*.ts']

const digestOf = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex')

function baseOf(root: string): string {
  const files = BASE.flatMap((pattern) => globSync(pattern, { cwd: root })).sort()
  return JSON.stringify([process.version, ...files.map((file) => [file, digestOf(join(root, file))])])
}

/** Puts the kept bundle of a service into `app`; false when there is none, or its sources have changed. */
export function takeKept(cache: string, service: string, root: string, app: string): boolean {
  const folder = join(cache, service)
  if (!existsSync(join(folder, 'kept.json'))) return false
  const { base, sources } = JSON.parse(readFileSync(join(folder, 'kept.json'), 'utf8')) as Kept
  const isSame = ([name, digest]: [string, string]) => existsSync(join(root, name)) && digestOf(join(root, name)) === digest
  if (base !== baseOf(root) || !Object.entries(sources).every(isSame)) return false
  cpSync(join(folder, 'app'), app, { recursive: true })
  return true
}

/** Keeps a bundle; `inputs` are the paths of its sources in the checkout. What is half written is not taken for whole. */
export function keep(cache: string, service: string, root: string, app: string, inputs: string[]): void {
  const [folder, next] = [join(cache, service), join(cache, `.${service}`)]
  const ours = inputs.filter((name) => !name.includes('node_modules/') && existsSync(join(root, name)))
  const kept: Kept = { base: baseOf(root), sources: Object.fromEntries(ours.map((name) => [name, digestOf(join(root, name))])) }
  rmSync(next, { recursive: true, force: true })
  mkdirSync(next, { recursive: true })
  cpSync(app, join(next, 'app'), { recursive: true })
  writeFileSync(join(next, 'kept.json'), JSON.stringify(kept))
  rmSync(folder, { recursive: true, force: true })
  renameSync(next, folder)
}
